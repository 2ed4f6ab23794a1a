#include "felix/cni/release_journal.h"

#include "base/scope_exit.h"

#include <sys/stat.h>

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
constexpr std::size_t kFields = 5;

// One line; no field can hold a tab or a line break, they are names.
std::string to_line(const PendingRelease& entry) {
  return entry.container_id + '\t' + entry.ifname + '\t' + entry.handle + '\t' + entry.ns + '\t' +
         entry.endpoint + '\n';
}

bool from_line(const std::string& line, PendingRelease& entry) {
  std::array<std::string, kFields> fields;
  std::size_t field = 0;
  for (const char c : line) {
    if (c != '\t') {
      fields[field] += c;
    } else if (++field == kFields) {
      return false;
    }
  }
  entry = {fields[0], fields[1], fields[2], fields[3], fields[4]};
  return field + 1 == kFields;
}

Result<void> write_synced(const std::string& path, const std::string& text) {
  constexpr mode_t kPrivate = 0600;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kPrivate);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = ::write(fd, text.data() + written, text.size() - written);
    if (put < 0 && errno != EINTR) {
      return fail_errno(errno, "write {}", path);
    }
    written += put > 0 ? static_cast<std::size_t>(put) : 0;
  }
  if (::fsync(fd) != 0) {
    return fail_errno(errno, "sync {}", path);
  }
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  return ::fsync(fd) == 0 ? Result<void>() : fail_errno(errno, "sync {}", path);
}

}  // namespace

ReleaseJournal::ReleaseJournal(std::string state_dir) : directory_(std::move(state_dir)) {
  std::ifstream file(directory_ + std::string(kFileName));
  std::string line;
  while (std::getline(file, line)) {
    PendingRelease entry;
    if (from_line(line, entry)) {
      entries_.push_back(std::move(entry));
    }
  }
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
  const std::string beside = path + ".new";
  std::string text;
  for (const PendingRelease& entry : entries) {
    text += to_line(entry);
  }
  constexpr mode_t kPrivateDirectory = 0700;
  if (::mkdir(directory_.c_str(), kPrivateDirectory) != 0 && errno != EEXIST) {
    return fail_errno(errno, "create {}", directory_);
  }
  if (auto written = write_synced(beside, text); !written) {
    ::unlink(beside.c_str());
    return written;
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    return fail_errno(errno, "rename {}", beside);
  }
  if (auto synced = sync_directory(directory_); !synced) {
    return synced;
  }
  entries_ = entries;
  return {};
}

}  // namespace margay::felix
