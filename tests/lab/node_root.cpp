#include "tests/lab/node_root.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <unistd.h>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;

Result<void> mount_at(const std::string& source,
                      const std::string& target,
                      const char* type,
                      unsigned long flags,
                      const std::string& options = {}) {
  if (::mount(source.c_str(),
              target.c_str(),
              type,
              flags,
              options.empty() ? nullptr : options.c_str()) != 0) {
    return fail_errno(errno, "mount {} at {}", source, target);
  }
  return {};
}

Result<void> overlay(const std::string& target, const fs::path& dir) {
  return mount_at("overlay",
                  target,
                  "overlay",
                  0,
                  fmt::format("lowerdir={},upperdir={},workdir={}",
                              target,
                              (dir / "upper").string(),
                              (dir / "work").string()));
}

Result<void> bind_file(const Bind& bind) {
  std::error_code error;
  if (!fs::exists(bind.source, error)) {
    return fail(Errc::kNotFound, "bind {}: no such file", bind.source.string());
  }
  if (!fs::exists(bind.target, error)) {
    const bool is_directory = fs::is_directory(bind.source, error);
    fs::create_directories(
        is_directory ? fs::path(bind.target) : fs::path(bind.target).parent_path(), error);
    if (!is_directory) {
      const int fd = ::open(bind.target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0) {
        return fail_errno(errno, "bind {}: create {}", bind.source.string(), bind.target);
      }
      ::close(fd);
    }
  }
  if (auto done = mount_at(bind.source.string(), bind.target, nullptr, MS_BIND | MS_REC); !done) {
    return done;
  }
  return bind.read_only
             ? mount_at(
                   bind.source.string(), bind.target, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY)
             : Result<void>();
}

Result<void> write_sysctl(const std::string& key, const std::string& value) {
  std::string path = "/proc/sys/" + key;
  std::ranges::replace(
      path.begin() + static_cast<std::ptrdiff_t>(std::strlen("/proc/sys/")), path.end(), '.', '/');
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "sysctl {}", key);
  }
  const auto written = ::write(fd, value.data(), value.size());
  const int write_errno = errno;
  ::close(fd);
  return written < 0 ? Result<void>(fail_errno(write_errno, "sysctl {}={}", key, value))
                     : Result<void>();
}

Result<void> bring_up_loopback() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return fail_errno(errno, "open a socket");
  }
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  const int rc = ::ioctl(fd, SIOCSIFFLAGS, &request);
  const int ioctl_errno = errno;
  ::close(fd);
  return rc != 0 ? Result<void>(fail_errno(ioctl_errno, "set lo up")) : Result<void>();
}

// The host's /run/netns goes along as a slave, so that namespaces made later appear in the node
// too.
Result<void> mount_run(const NodeRoot& root) {
  const std::string run = (root.dir / "run").string();
  if (auto done = mount_at("/run/netns", run + "/netns", nullptr, MS_BIND | MS_REC); !done) {
    return done;
  }
  return mount_at(run, "/run", nullptr, MS_BIND | MS_REC);
}

Result<void> build_mounts(const NodeRoot& root) {
  if (::mount("", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return fail_errno(errno,
                      "make mounts private{}",
                      errno == EINVAL ? " (\"/\" is no mount point, as in a chroot)" : "");
  }
  for (const char* folder : {"etc", "var"}) {
    if (auto done = overlay(std::string("/") + folder, root.dir / folder); !done) {
      return done;
    }
  }
  if (auto done = mount_run(root); !done) {
    return done;
  }
  if (auto done = mount_at("sysfs", "/sys", "sysfs", 0); !done) {
    return done;
  }
  for (const Bind& bind : root.binds) {
    if (auto done = bind_file(bind); !done) {
      return done;
    }
  }
  return {};
}

Result<void> enter_netns(const std::string& name) {
  const std::string path = "/run/netns/" + name;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const int rc = ::setns(fd, CLONE_NEWNET);
  const int setns_errno = errno;
  ::close(fd);
  return rc != 0 ? Result<void>(fail_errno(setns_errno, "enter {}", path)) : Result<void>();
}

}  // namespace

Result<void> prepare_directories(const NodeRoot& root) {
  std::error_code error;
  constexpr auto kFolders = std::to_array<const char*>({"run/netns",
                                                        "run/frr",
                                                        "run/bird",
                                                        "run/margay",
                                                        "run/lock",
                                                        "etc/upper",
                                                        "etc/work",
                                                        "var/upper",
                                                        "var/work",
                                                        "log"});
  for (const char* folder : kFolders) {
    fs::create_directories(root.dir / folder, error);
    if (error) {
      return fail_errno(error.value(), "create {}", (root.dir / folder).string());
    }
  }
  // FRR's daemons drop to their own user and must be able to make their sockets.
  if (const passwd* frr = ::getpwnam("frr")) {
    const std::string run = (root.dir / "run/frr").string();
    if (::chown(run.c_str(), frr->pw_uid, frr->pw_gid) != 0) {
      return fail_errno(errno, "chown {}", run);
    }
  }
  return {};
}

Result<void> enter_fresh_root(const NodeRoot& root) {
  if (auto done = enter_netns(root.netns); !done) {
    return done;
  }
  if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) {
    return fail_errno(errno, "unshare mount and UTS namespaces");
  }
  if (auto done = build_mounts(root); !done) {
    return done;
  }
  if (::sethostname(root.hostname.c_str(), root.hostname.size()) != 0) {
    return fail_errno(errno, "set the host name");
  }
  for (const auto& entry : root.sysctls) {
    if (auto done = write_sysctl(entry.first, entry.second); !done) {
      return done;
    }
  }
  return bring_up_loopback();
}

}  // namespace margay::lab
