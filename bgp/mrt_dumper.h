#pragma once
// MrtDumper: MRT files (RFC 6396) of what comes from peers and of the table.
//
// Lives on the speaker's loop, which only encodes; the files are the file thread's. The table is
// walked a slice per turn, into a file that gets its name when it is whole. A disk that is full or
// a directory that cannot be written costs records, which are counted and reported, and is tried
// again; nothing else. Internal to bgp/.

#include "base/byte_io.h"
#include "bgp/file_thread.h"
#include "bgp/monitor/mrt.h"
#include "bgp/monitor/settings.h"
#include "bgp/monitored.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace margay::bgp {

class MrtDumper : public std::enable_shared_from_this<MrtDumper> {
 public:
  using Report = std::function<void(const std::string& what)>;  // for the log
  using OnDumped = std::function<void(const Result<TableDump>&)>;

  MrtDumper(boost::asio::io_context& loop,
            FileThread& files,
            const Monitored& monitored,
            MrtSettings settings,
            Report report);

  void start();
  void stop();  // writes what is there; final

  void on_message(const mrt::Ends& ends, MessageType type, Bytes body);
  void on_state(const mrt::Ends& ends, SessionState from, SessionState to);
  // Begins a dump of the table, or waits for the one that is under way. Answers when it is whole,
  // or after a second.
  void dump_table(OnDumped on_dumped);
  // The table is another one: a dump of the old one ends.
  void on_new_table();

  [[nodiscard]] const MrtSettings& settings() const { return settings_; }
  [[nodiscard]] MrtStatus status() const;

 private:
  // On the file thread.
  struct Files {
    RecordFile updates;
    RecordFile table;
    std::chrono::steady_clock::time_point opened;  // or tried to
  };
  struct Dump {
    std::uint64_t number = 0;
    std::string path;
    mrt::UnixTime time = 0;
    std::uint32_t at = 0;
    std::uint32_t sequence = 0;
    std::map<PeerId, std::uint16_t> place_of;
    std::map<PeerId, mrt::UnixTime> since;
    std::vector<OnDumped> waiting;
  };

  [[nodiscard]] static mrt::UnixTime unix_time();
  [[nodiscard]] std::string path_of(std::string_view kind) const;
  void schedule_flush();
  void flush();
  void rotate();
  void begin_file();
  void arm_rotation();
  void arm_table();
  void write_index();
  void schedule_slice(std::chrono::milliseconds delay);
  void dump_slice();
  void append_to_dump(ByteWriter records);
  void finish_dump();
  void on_dump_written(std::uint64_t number, const Result<void>& outcome);
  void on_dump_ended(const Result<std::string>& outcome);
  void answer(Dump& dump, const Result<TableDump>& outcome);
  void on_written(const Result<void>& outcome, std::uint64_t records);
  // Runs there, then calls back here.
  template <typename Job, typename Done>
  [[nodiscard]] bool on_file_thread(std::size_t bytes, Job job, Done done) {
    return thread_.post(
        bytes,
        [&loop = loop_, weak = weak_from_this(), job = std::move(job), done = std::move(done)] {
          auto outcome = job();
          boost::asio::post(loop, [weak, done, outcome = std::move(outcome)] {
            if (const auto self = weak.lock()) {
              done(*self, outcome);
            }
          });
        });
  }

  boost::asio::io_context& loop_;
  FileThread& thread_;
  const Monitored& monitored_;
  MrtSettings settings_;
  Report report_;
  std::shared_ptr<Files> files_ = std::make_shared<Files>();
  boost::asio::steady_timer flush_timer_;
  boost::asio::steady_timer rotate_timer_;
  boost::asio::steady_timer table_timer_;
  boost::asio::steady_timer slice_timer_;
  boost::asio::steady_timer answer_timer_;
  ByteWriter pending_;
  std::uint64_t pending_records_ = 0;
  bool flush_scheduled_ = false;
  bool stopped_ = false;
  std::string updates_path_;
  std::uint64_t file_bytes_ = 0;
  std::unique_ptr<Dump> dump_;
  std::uint64_t dumps_ = 0;
  MrtStatus status_;
};

}  // namespace margay::bgp
