#include "felix/cni/release_journal.h"

#include "base/durable_file.h"
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
  std::string text;
  for (const PendingRelease& entry : entries) {
    text += to_line(entry);
  }
  constexpr mode_t kPrivateDirectory = 0700;
  if (::mkdir(directory_.c_str(), kPrivateDirectory) != 0 && errno != EEXIST) {
    return fail_errno(errno, "create {}", directory_);
  }
  if (auto written = replace_file(path, text); !written) {
    return written;
  }
  entries_ = entries;
  return {};
}

}  // namespace margay::felix
