#include "datastore/sqlite/notify.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <array>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

namespace margay::datastore {

namespace {

std::string notify_path(const std::string& store_path) {
  return store_path + "-notify";
}

void add_to_epoll(int epoll, int descriptor) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

}  // namespace

void touch_notify_file(const std::string& store_path) {
  const int fd =
      ::open(notify_path(store_path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return;
  }
  const char byte = '\n';
  (void)!::pwrite(fd, &byte, 1, 0);
  ::close(fd);
}

ChangeWaiter::ChangeWaiter(std::string store_path)
    : store_path_(std::move(store_path)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  add_to_epoll(epoll_, timer_);
}

ChangeWaiter::~ChangeWaiter() {
  for (const int fd : {inotify_, timer_, epoll_}) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

void ChangeWaiter::arm_files() {
  if (inotify_ >= 0) {
    ::close(inotify_);
  }
  inotify_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify_ < 0) {
    return;  // the timer still looks every second
  }
  // The notify file must exist to be watched; its own creation is no change.
  const int fd =
      ::open(notify_path(store_path_).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd >= 0) {
    ::close(fd);
  }
  ::inotify_add_watch(inotify_, notify_path(store_path_).c_str(), IN_MODIFY);
  ::inotify_add_watch(inotify_, (store_path_ + "-wal").c_str(), IN_MODIFY);
  ::inotify_add_watch(inotify_, store_path_.c_str(), IN_MOVE_SELF | IN_DELETE_SELF);
  add_to_epoll(epoll_, inotify_);
}

bool ChangeWaiter::drain() const {
  std::uint64_t expirations = 0;
  (void)!::read(timer_, &expirations, sizeof(expirations));
  bool changed = false;
  std::array<char, 4096> events{};
  while (inotify_ >= 0 && ::read(inotify_, events.data(), events.size()) > 0) {
    changed = true;
  }
  return changed;
}

void ChangeWaiter::set_timer(std::chrono::milliseconds delay) const {
  constexpr long kNanosPerMilli = 1'000'000;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<std::time_t>(delay.count() / 1000);
  when.it_value.tv_nsec = static_cast<long>(delay.count() % 1000) * kNanosPerMilli;
  ::timerfd_settime(timer_, 0, &when, nullptr);
}

}  // namespace margay::datastore
