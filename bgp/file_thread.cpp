#include "bgp/file_thread.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <pthread.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace margay::bgp {

namespace fs = std::filesystem;

FileThread::FileThread(std::size_t most_waiting)
    : most_waiting_(most_waiting), thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "bgp-files");
}

FileThread::~FileThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool FileThread::post(std::size_t bytes, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_ + bytes > most_waiting_) {
      return false;
    }
    waiting_ += bytes;
    jobs_.push_back({bytes, std::move(job)});
  }
  changed_.notify_all();
  return true;
}

std::size_t FileThread::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

void FileThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) {
      return;
    }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job.run();
    job.run = nullptr;
    lock.lock();
    waiting_ -= job.bytes;
  }
}

Result<void> RecordFile::open(const std::string& path) {
  close();
  path_ = path;
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  fd_ = ::open(
      path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  if (fd_ < 0) {
    return fail_errno(errno, "{}", path);
  }
  struct stat now {};
  if (::fstat(fd_, &now) != 0 || !S_ISREG(now.st_mode)) {
    close();
    return fail(Errc::kInvalid, "{}: not a file", path);
  }
  size_ = static_cast<std::uint64_t>(now.st_size);
  return {};
}

Result<void> RecordFile::append(Bytes records) {
  std::size_t done = 0;
  while (done < records.size()) {
    const ssize_t wrote = ::write(fd_, records.data() + done, records.size() - done);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote <= 0) {
      const int why = wrote < 0 ? errno : ENOSPC;
      // Readers shall not find half a record.
      if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) {
        close();
      }
      return fail_errno(why, "{}", path_);
    }
    done += static_cast<std::size_t>(wrote);
  }
  size_ += done;
  return {};
}

void RecordFile::close() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
  }
  size_ = 0;
}

void remove_old_files(const std::string& directory, const std::string& kind, std::size_t keep) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(kind + ".") && name.ends_with(".mrt")) {
      found.push_back(at->path());
    }
  }
  std::ranges::sort(found);
  const std::size_t surplus = found.size() > keep ? found.size() - keep : 0;
  for (std::size_t i = 0; i < surplus; ++i) {
    fs::remove(found[i], error);
  }
}

}  // namespace margay::bgp
