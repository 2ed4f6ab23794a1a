#include "felix/cni/release_journal.h"

#include "base/durable_file.h"
#include "base/scope_exit.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace {

constexpr std::string_view kFileName = "/pending-releases";
constexpr std::string_view kReserveName = "/pending-releases.reserve";
constexpr std::size_t kFields = 5;

}  // namespace

std::string format_release(const PendingRelease& entry) {
  return entry.container_id + '\t' + entry.ifname + '\t' + entry.handle + '\t' + entry.ns + '\t' +
         entry.endpoint + '\n';
}

std::optional<PendingRelease> parse_release(std::string_view line) {
  std::array<std::string, kFields> fields;
  std::size_t field = 0;
  for (const char c : line) {
    if (c != '\t') {
      fields[field] += c;
    } else if (++field == kFields) {
      return std::nullopt;
    }
  }
  if (field + 1 != kFields) {
    return std::nullopt;
  }
  return PendingRelease{fields[0], fields[1], fields[2], fields[3], fields[4]};
}

ReleaseJournal::ReleaseJournal(std::string state_dir) : directory_(std::move(state_dir)) {
  std::ifstream file(directory_ + std::string(kFileName));
  std::string line;
  while (std::getline(file, line)) {
    if (auto entry = parse_release(line)) {
      entries_.push_back(std::move(*entry));
    }
  }
  reserve();
}

// As much as there is, at most room for some thousand releases. Where nothing is to be had, nothing
// is lost: a release that cannot be written then is an error of its DEL, as without this.
void ReleaseJournal::reserve() const {
  const std::string path = directory_ + std::string(kReserveName);
  constexpr mode_t kPrivate = 0600;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kPrivate);
  if (fd < 0) {
    return;
  }
  const ScopeExit closing([fd] { ::close(fd); });
  constexpr off_t kMost = 262144;
  constexpr off_t kLeast = 4096;
  constexpr off_t kShare = 4;  // others want to write here, too
  struct statvfs disk {};
  const off_t free = ::fstatvfs(fd, &disk) == 0
                         ? static_cast<off_t>(disk.f_bavail) * static_cast<off_t>(disk.f_frsize)
                         : 0;
  for (off_t size = kMost; size >= kLeast; size /= kShare) {
    if (size <= free / kShare && ::fallocate(fd, 0, 0, size) == 0) {
      return;
    }
  }
  ::unlink(path.c_str());
}

Result<void> ReleaseJournal::add(const PendingRelease& entry) {
  if (std::ranges::find(entries_, entry) != entries_.end()) {
    return {};
  }
  auto changed = entries_;
  changed.push_back(entry);
  return write(changed);
}

Result<void> ReleaseJournal::remove(const PendingRelease& entry) {
  auto changed = entries_;
  std::erase(changed, entry);
  return changed == entries_ ? Result<void>() : write(changed);
}

Result<void> ReleaseJournal::write(const std::vector<PendingRelease>& entries) {
  const std::string path = directory_ + std::string(kFileName);
  std::string text;
  for (const PendingRelease& entry : entries) {
    text += format_release(entry);
  }
  constexpr mode_t kPrivateDirectory = 0700;
  if (::mkdir(directory_.c_str(), kPrivateDirectory) != 0 && errno != EEXIST) {
    return fail_errno(errno, "create {}", directory_);
  }
  auto written = replace_file(path, text);
  if (!written && written.error().code == Errc::kExhausted &&
      ::unlink((directory_ + std::string(kReserveName)).c_str()) == 0) {
    written = replace_file(path, text);
  }
  if (!written) {
    return written;
  }
  entries_ = entries;
  if (entries_.empty()) {
    reserve();
  }
  return {};
}

}  // namespace margay::felix
