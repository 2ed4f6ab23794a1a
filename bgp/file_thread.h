#pragma once
// FileThread: writes files beside the loop of the speaker, so that a slow disk delays no KEEPALIVE.
//
// Jobs run one after another. What waits is bounded by its bytes: at the bound a job is refused,
// and who asked decides what is lost. Internal to bgp/.

#include "base/result.h"
#include "bgp/wire/types.h"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace margay::bgp {

class FileThread {
 public:
  explicit FileThread(std::size_t most_waiting);
  ~FileThread();  // after all jobs
  FileThread(const FileThread&) = delete;
  FileThread& operator=(const FileThread&) = delete;

  // False: too much waits already. bytes: that the job holds.
  [[nodiscard]] bool post(std::size_t bytes, std::function<void()> job);
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Job {
    std::size_t bytes = 0;
    std::function<void()> run;
  };
  void run();

  const std::size_t most_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t waiting_ = 0;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

// A file that only grows, by whole records: what could not be written wholly is cut off again.
class RecordFile {
 public:
  RecordFile() = default;
  ~RecordFile() { close(); }
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  // Continues a file that is there. Directories above it are made.
  [[nodiscard]] Result<void> open(const std::string& path);
  [[nodiscard]] Result<void> append(Bytes records);
  void close();
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] const std::string& path() const { return path_; }  // last opened, or tried to
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  int fd_ = -1;
  std::string path_;
  std::uint64_t size_ = 0;
};

// Removes the oldest files "KIND.*.mrt" of a directory (their names are in the order of their age)
// beyond those that are kept.
void remove_old_files(const std::string& directory, const std::string& kind, std::size_t keep);

}  // namespace margay::bgp
