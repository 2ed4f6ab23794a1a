#include "felix/cni/call_journal.h"

#include "base/scope_exit.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace margay::felix {

namespace {

constexpr mode_t kPrivateFile = 0600;
constexpr mode_t kPrivateFolder = 0700;

}  // namespace

CallJournal::CallJournal(const std::string& state_dir)
    : state_dir_(state_dir), directory_(state_dir + "/calls") {
  std::error_code failed;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, failed)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  for (const auto& path : paths) {
    std::ifstream file(path);
    std::string line;
    const auto call = std::getline(file, line) ? parse_release(line) : std::nullopt;
    const auto host_name = IfName::parse(path.filename().string());
    if (call && host_name) {
      cut_off_.push_back({*call, *host_name});
    } else {
      std::filesystem::remove(path, failed);
    }
  }
}

std::string CallJournal::path_of(const IfName& host_name) const {
  return directory_ + "/" + host_name.str();
}

Result<void> CallJournal::begin(const IfName& host_name, const PendingRelease& call) const {
  for (const std::string& directory : {state_dir_, directory_}) {
    if (::mkdir(directory.c_str(), kPrivateFolder) != 0 && errno != EEXIST) {
      return fail_errno(errno, "create {}", directory);
    }
  }
  const std::string path = path_of(host_name);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kPrivateFile);
  if (fd < 0) {
    return fail_errno(errno, "create {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  const std::string line = format_release(call);
  const ssize_t put = ::write(fd, line.data(), line.size());
  if (put != static_cast<ssize_t>(line.size())) {
    const int why = put < 0 ? errno : ENOSPC;
    ::unlink(path.c_str());
    return fail_errno(why, "write {}", path);
  }
  return {};
}

Result<void> CallJournal::end(const IfName& host_name) const {
  const std::string path = path_of(host_name);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove {}", path);
  }
  return {};
}

void CallJournal::forget(const CutOffCall& call) {
  (void)end(call.host_name);  // done again by the next agent, which harms nothing
  std::erase(cut_off_, call);
}

}  // namespace margay::felix
