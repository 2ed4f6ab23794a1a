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
  read(directory_ + std::string(kFileName));
  const std::size_t before = entries_.size();
  read(directory_ + std::string(kReserveName));
  if (entries_.size() > before) {
    (void)write(entries_);  // where there is room again; else they stay in the reserve
  }
  reserve();
}

// Up to the first zero: what is set aside is full of them. A line that was not written whole has no
// end and does not count.
void ReleaseJournal::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::getline(file, text, '\0');
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const auto entry = parse_release(std::string_view(text).substr(begin, end - begin));
    if (entry && std::ranges::find(entries_, *entry) == entries_.end()) {
      entries_.push_back(*entry);
    }
    if (path.ends_with(kReserveName)) {
      reserve_used_ = end + 1;
    }
  }
}

// As much as there is, at most room for a thousand releases. Where nothing is to be had, nothing
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
  auto written = write(changed);
  if (!written && written.error().code == Errc::kExhausted && append_to_reserve(entry)) {
    entries_ = std::move(changed);
    return {};
  }
  return written;
}

Result<void> ReleaseJournal::append_to_reserve(const PendingRelease& entry) {
  const std::string path = directory_ + std::string(kReserveName);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  struct stat status {};
  const std::string line = format_release(entry);
  // What is beyond the end was not set aside.
  if (::fstat(fd, &status) != 0 ||
      reserve_used_ + line.size() > static_cast<std::size_t>(status.st_size)) {
    return fail(Errc::kExhausted, "{}: no room left", path);
  }
  if (::pwrite(fd, line.data(), line.size(), static_cast<off_t>(reserve_used_)) !=
          static_cast<ssize_t>(line.size()) ||
      ::fsync(fd) != 0) {
    return fail_errno(errno, "write {}", path);
  }
  reserve_used_ += line.size();
  return {};
}

// All of it stands in the file by now.
void ReleaseJournal::clear_reserve() {
  if (reserve_used_ > 0) {
    ::unlink((directory_ + std::string(kReserveName)).c_str());
    reserve_used_ = 0;
    reserve();
  }
}

Result<void> ReleaseJournal::remove(std::span<const PendingRelease> done) {
  auto changed = entries_;
  std::erase_if(changed, [&done](const PendingRelease& entry) {
    return std::ranges::find(done, entry) != done.end();
  });
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
  if (auto written = replace_file(path, text); !written) {
    return written;
  }
  entries_ = entries;
  clear_reserve();
  return {};
}

}  // namespace margay::felix
