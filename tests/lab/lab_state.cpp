#include "tests/lab/lab_state.h"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace margay::lab {
namespace {

constexpr auto kKillTimeout = std::chrono::seconds(5);

Result<void> delete_namespace(const std::string& name) {
  std::error_code error;
  if (!std::filesystem::exists("/run/netns/" + name, error)) {
    return {};
  }
  Command command;
  command.argv = {"ip", "netns", "del", name};
  command.env = {{"PATH", kSystemPath}};
  const auto done = run(command);
  if (!done) {
    return fail(done.error());
  }
  return done->ok() ? Result<void>()
                    : fail(Errc::kInternal, "delete namespace {}: {}", name, done->err);
}

// What daemons of the lab started and left behind: nobody else is in its namespaces.
Result<void> kill_inside(const std::vector<std::string>& namespaces) {
  std::vector<ProcessId> left;
  for (const std::string& name : namespaces) {
    Command command;
    command.argv = {"ip", "netns", "pids", name};
    command.env = {{"PATH", kSystemPath}};
    const auto listed = run(command);
    std::istringstream pids(listed ? listed->out : std::string());
    for (pid_t pid = 0; pids >> pid;) {
      if (const auto started = process_start_time(pid)) {
        ::kill(pid, SIGKILL);
        left.push_back({pid, *started});
      }
    }
  }
  for (const ProcessId& process : left) {
    if (!wait_gone(process, kKillTimeout)) {
      return fail(Errc::kTimeout, "process {} does not end", process.pid);
    }
  }
  return {};
}

void parse_line(const std::string& line, LabRecord& record) {
  std::istringstream words(line);
  std::string what;
  words >> what;
  if (what == "topology") {
    std::getline(words >> std::ws, record.topology_file);
  } else if (what == "netns") {
    words >> record.namespaces.emplace_back();
  } else if (what == "process") {
    ProcessRecord process;
    if (words >> process.node >> process.role >> process.id.pid >> process.id.start_time) {
      record.processes.push_back(std::move(process));
    }
  } else if (what == "pod") {
    PodRecord pod;
    if (words >> pod.name >> pod.ns >> pod.node >> pod.container_id >> pod.address) {
      record.pods.push_back(std::move(pod));
    }
  } else if (what == "pod-gone") {
    std::string name;
    words >> name;
    std::erase_if(record.pods, [&](const PodRecord& pod) { return pod.name == name; });
  }
}

}  // namespace

bool LabState::exists() const {
  std::error_code error;
  return std::filesystem::exists(dir_ / "record", error);
}

Result<void> LabState::create(const std::filesystem::path& topology_file) {
  std::error_code error;
  std::filesystem::create_directories(dir_, error);
  if (error) {
    return fail_errno(error.value(), "create {}", dir_.string());
  }
  return append("topology " + topology_file.string());
}

Result<void> LabState::append(const std::string& line) const {
  const std::string path = (dir_ / "record").string();
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const std::string text = line + "\n";  // one write: lines of several writers do not mix
  const auto written = ::write(fd, text.data(), text.size());
  const int write_errno = errno;
  ::close(fd);
  return written == static_cast<ssize_t>(text.size()) ? Result<void>()
                                                      : fail_errno(write_errno, "write {}", path);
}

Result<LabRecord> LabState::read() const {
  std::ifstream stream(dir_ / "record");
  if (!stream) {
    return fail(Errc::kNotFound, "lab {} is not up", dir_.filename().string());
  }
  LabRecord record;
  for (std::string line; std::getline(stream, line);) {
    parse_line(line, record);
  }
  return record;
}

Result<void> LabState::add_namespace(const std::string& name) const {
  return append("netns " + name);
}

Result<void> LabState::add_process(const ProcessRecord& process) const {
  return append(fmt::format(
      "process {} {} {} {}", process.node, process.role, process.id.pid, process.id.start_time));
}

Result<void> LabState::add_pod(const PodRecord& pod) const {
  return append(
      fmt::format("pod {} {} {} {} {}", pod.name, pod.ns, pod.node, pod.container_id, pod.address));
}

Result<void> LabState::remove_pod(const std::string& name) const {
  return append("pod-gone " + name);
}

Result<void> LabState::destroy() const {
  const auto record = read();
  if (!record) {
    return {};
  }
  for (const ProcessRecord& process : record->processes) {
    send_signal(process.id, SIGKILL);
  }
  for (const ProcessRecord& process : record->processes) {
    if (!wait_gone(process.id, kKillTimeout)) {
      return fail(Errc::kTimeout,
                  "process {} ({} of {}) does not end",
                  process.id.pid,
                  process.role,
                  process.node);
    }
  }
  if (auto done = kill_inside(record->namespaces); !done) {
    return done;
  }
  for (const std::string& name : record->namespaces) {
    if (auto done = delete_namespace(name); !done) {
      return done;
    }
  }
  std::error_code error;
  std::filesystem::remove_all(dir_, error);
  return error ? Result<void>(fail_errno(error.value(), "remove {}", dir_.string()))
               : Result<void>();
}

std::vector<std::string> list_labs(const std::filesystem::path& root) {
  std::vector<std::string> labs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    if (std::filesystem::exists(entry.path() / "record", error)) {
      labs.push_back(entry.path().filename().string());
    }
  }
  std::ranges::sort(labs);
  return labs;
}

}  // namespace margay::lab
