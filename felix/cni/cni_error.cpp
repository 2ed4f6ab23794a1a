#include "felix/cni/cni_error.h"

namespace margay::felix {

cni::CniError cni_error(const Error& error, std::string_view what) {
  using cni::Code;
  Code code = Code::kFailed;
  std::string details;
  switch (error.code) {
    case Errc::kUnavailable:
    case Errc::kTimeout:
    case Errc::kConflict:
    case Errc::kCompacted:
      code = Code::kTryAgainLater;
      details = "the datastore or the kernel did not answer; the call may be repeated";
      break;
    case Errc::kInvalid:
      code = Code::kBadConfig;
      details = "mend the configuration or the stored object that the message names";
      break;
    case Errc::kExhausted:
      details = error.sys_errno == 0
                    ? "add a pool, or see `margayctl ipam show --blocks` for who uses the addresses"
                    : "make room for the datastore and the state directory of the agent";
      break;
    case Errc::kExists:
      details = "what is in the way has to go first";
      break;
    case Errc::kPermission:
      details = "the agent must be allowed to write its datastore, its state directory and sysctls";
      break;
    case Errc::kNotFound:
    case Errc::kInternal:
      break;
  }
  return {code, std::string(what) + ": " + error.text, std::move(details)};
}

}  // namespace margay::felix
