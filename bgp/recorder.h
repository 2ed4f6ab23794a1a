#pragma once
// Recorder: the file of a peer's record (bgp/monitor/record.h). It is bounded: a record that
// reaches the bound, or that the disk cannot follow, ends; the next one begins with the peer's next
// session, and one before it is kept. Internal to bgp/.

#include "bgp/file_thread.h"
#include "bgp/monitor/settings.h"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace margay::bgp {

class Recorder : public std::enable_shared_from_this<Recorder> {
 public:
  Recorder(boost::asio::io_context& loop,
           FileThread& files,
           RecordSettings settings,
           const std::string& peer);

  // A new file.
  void begin();
  void write(const std::string& line);
  // What is written so far goes to the file.
  void flush();
  // Whether a record may begin: not soon after one that could not be written.
  [[nodiscard]] bool ready() const;
  // Why the record has to end; empty: it has not.
  [[nodiscard]] const std::string& over() const { return over_; }
  [[nodiscard]] const RecordSettings& settings() const { return settings_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void schedule_flush();

  boost::asio::io_context& loop_;
  FileThread& thread_;
  RecordSettings settings_;
  std::string path_;
  std::string before_;  // what the last record is renamed to
  std::shared_ptr<RecordFile> file_;
  std::string pending_;
  std::uint64_t size_ = 0;
  bool flush_scheduled_ = false;
  std::string over_;
  std::optional<std::chrono::steady_clock::time_point> failed_;
};

}  // namespace margay::bgp
