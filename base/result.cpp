#include "base/result.h"

#include <system_error>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace margay {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "assertion failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return "invalid";
    case Errc::kNotFound:
      return "not found";
    case Errc::kExists:
      return "exists";
    case Errc::kConflict:
      return "conflict";
    case Errc::kExhausted:
      return "exhausted";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kPermission:
      return "permission";
    case Errc::kCompacted:
      return "compacted";
    case Errc::kInternal:
      return "internal";
  }
  return "unknown";
}

namespace {

Errc code_of(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return Errc::kNotFound;
    case EEXIST:
      return Errc::kExists;
    case EPERM:
    case EACCES:
    case EROFS:
      return Errc::kPermission;
    case EINVAL:
    case ERANGE:
    case EAFNOSUPPORT:
      return Errc::kInvalid;
    case ENOSPC:
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
      return Errc::kExhausted;
    case ETIMEDOUT:
      return Errc::kTimeout;
    case EAGAIN:
    case EBUSY:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return Errc::kUnavailable;
    default:
      return Errc::kInternal;
  }
}

}  // namespace

Failure<Error> fail_errno_text(int sys_errno, std::string text) {
  text += ": ";
  text += std::generic_category().message(sys_errno);
  return {Error{code_of(sys_errno), std::move(text), sys_errno}};
}

}  // namespace margay
