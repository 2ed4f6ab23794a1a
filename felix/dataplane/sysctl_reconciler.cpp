#include "felix/dataplane/sysctl_reconciler.h"

#include "base/durable_file.h"
#include "kernel/sysctl.h"

#include <cerrno>
#include <cstdio>
#include <fstream>

namespace margay::felix {

namespace {

// A line per setting: its path, what it was, what it was made. The first line names the start of
// the machine: the settings of an earlier one are void.
struct Change {
  std::string before;
  std::string after;
};
using Record = std::map<std::string, Change>;

std::string this_boot() {
  const auto id = read_sysctl("kernel/random/boot_id");
  return id ? *id : std::string("unknown");
}

Record read_record(const std::string& path) {
  Record record;
  std::ifstream file(path);
  std::string boot;
  if (!std::getline(file, boot) || boot != this_boot()) {
    return record;
  }
  std::string key;
  Change change;
  while (file >> key >> change.before >> change.after) {
    record.emplace(key, change);
  }
  return record;
}

// The first change counts: what later ones found is our own.
Result<void> note(const std::string& path, const std::string& key, const Change& change) {
  Record record = read_record(path);
  record.emplace(key, change);
  std::string text = this_boot() + "\n";
  for (const auto& [name, noted] : record) {
    text += name + " " + noted.before + " " + noted.after + "\n";
  }
  return replace_file(path, text);
}

}  // namespace

std::map<std::string, std::string> forwarding_sysctls(bool ipv6) {
  std::map<std::string, std::string> wanted{{"net/ipv4/ip_forward", "1"}};
  if (ipv6) {
    wanted.emplace("net/ipv6/conf/all/forwarding", "1");
  }
  return wanted;
}

Result<void> restore_sysctls(const std::string& record) {
  for (const auto& [key, change] : read_record(record)) {
    const auto current = read_sysctl(key);
    if (!current || *current != change.after) {
      continue;
    }
    if (auto written = write_sysctl(key, change.before); !written) {
      return written;
    }
  }
  if (std::remove(record.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove {}", record);
  }
  return {};
}

ApplyReport SysctlReconciler::apply() {
  ApplyReport report;
  for (const auto& [key, value] : desired_) {
    const auto current = read_sysctl(key);
    if (current && *current == value) {
      continue;
    }
    // Without the record the setting could not be put back, which is no reason not to forward.
    if (current && !record_.empty()) {
      if (auto noted = note(record_, key, {*current, value}); !noted) {
        report.failures.push_back({"record sysctl " + key, noted.error()});
      }
    }
    if (auto written = write_sysctl(key, value); written) {
      ++report.changes;
    } else {
      report.failures.push_back({"sysctl " + key, written.error()});
    }
  }
  if (report.failures.empty()) {
    backoff_.reset();
  } else {
    report.retry_after = backoff_.next();
  }
  return report;
}

}  // namespace margay::felix
