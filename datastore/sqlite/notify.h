#pragma once
// Waking watches of other processes: a writer touches a file beside the store, watches wait for it
// with inotify.

#include <chrono>
#include <string>

namespace margay::datastore {

// After a commit. Best effort: a watch also notices writes to the WAL.
void touch_notify_file(const std::string& store_path);

// An epoll descriptor that becomes readable when the store may have changed, and at the set time.
class ChangeWaiter {
 public:
  explicit ChangeWaiter(std::string store_path);
  ~ChangeWaiter();
  ChangeWaiter(const ChangeWaiter&) = delete;
  ChangeWaiter& operator=(const ChangeWaiter&) = delete;

  [[nodiscard]] int descriptor() const { return epoll_; }
  // Watches the files as they are now; call when the store was opened (again).
  void arm_files();
  // Consumes what made the descriptor readable. True: a file changed, not only the timer.
  [[nodiscard]] bool drain() const;
  // Readable again after this time at the latest.
  void set_timer(std::chrono::milliseconds delay) const;

 private:
  std::string store_path_;
  int epoll_ = -1;
  int inotify_ = -1;
  int timer_ = -1;
};

}  // namespace margay::datastore
