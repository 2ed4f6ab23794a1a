#include "bgp/mrt_dumper.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFlushDelay{200};
constexpr std::size_t kFlushBytes = 64U << 10U;
constexpr seconds kOpenAgain{5};                   // after a failure
constexpr std::uint64_t kLargestFile = 1U << 30U;  // of updates; then the next one is begun early

// Until the clock on the wall is at the next multiple, and a little past it.
std::chrono::system_clock::duration until_multiple(seconds of) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return of - since % of + milliseconds(1);
}

}  // namespace

MrtDumper::MrtDumper(asio::io_context& loop,
                     FileThread& files,
                     const Monitored& monitored,
                     MrtSettings settings,
                     Report report)
    : loop_(loop),
      thread_(files),
      monitored_(monitored),
      settings_(std::move(settings)),
      report_(std::move(report)),
      flush_timer_(loop),
      rotate_timer_(loop),
      table_timer_(loop),
      slice_timer_(loop),
      answer_timer_(loop) {
  status_.settings = settings_;
}

mrt::UnixTime MrtDumper::unix_time() {
  return static_cast<mrt::UnixTime>(
      std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

void MrtDumper::start() {
  if (settings_.updates) {
    begin_file();
    arm_rotation();
  }
  if (settings_.table.count() > 0) {
    arm_table();
  }
}

void MrtDumper::stop() {
  flush();
  stopped_ = true;
  for (auto* timer :
       {&flush_timer_, &rotate_timer_, &table_timer_, &slice_timer_, &answer_timer_}) {
    timer->cancel();
  }
  on_dump_ended(fail(Errc::kUnavailable, "the dump was ended by another configuration"));
}

std::string MrtDumper::path_of(std::string_view kind) const {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  constexpr int kFirstYear = 1900;
  return fmt::format("{}/{}.{:04}{:02}{:02}.{:02}{:02}{:02}.mrt",
                     settings_.directory,
                     kind,
                     utc.tm_year + kFirstYear,
                     utc.tm_mon + 1,
                     utc.tm_mday,
                     utc.tm_hour,
                     utc.tm_min,
                     utc.tm_sec);
}

// ---- updates

void MrtDumper::on_message(const mrt::Ends& ends, MessageType type, Bytes body) {
  if (settings_.updates) {
    mrt::write_message(pending_, unix_time(), ends, type, body);
    ++pending_records_;
    schedule_flush();
  }
}

void MrtDumper::on_state(const mrt::Ends& ends, SessionState from, SessionState to) {
  if (settings_.updates) {
    mrt::write_state_change(pending_, unix_time(), ends, from, to);
    ++pending_records_;
    schedule_flush();
  }
}

void MrtDumper::schedule_flush() {
  if (pending_.size() >= kFlushBytes) {
    flush();
    return;
  }
  if (std::exchange(flush_scheduled_, true)) {
    return;
  }
  flush_timer_.expires_after(kFlushDelay);
  flush_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc) {
      self->flush_scheduled_ = false;
      self->flush();
    }
  });
}

void MrtDumper::flush() {
  if (pending_.size() == 0) {
    return;
  }
  const std::uint64_t records = std::exchange(pending_records_, 0);
  const std::size_t size = pending_.size();
  const auto bytes = std::make_shared<const std::vector<std::uint8_t>>(pending_.take());
  pending_ = ByteWriter();
  const auto append = [files = files_,
                       path = updates_path_,
                       directory = settings_.directory,
                       keep = settings_.keep,
                       bytes]() -> Result<void> {
    RecordFile& file = files->updates;
    if (!file.is_open() || file.path() != path) {
      const auto now = std::chrono::steady_clock::now();
      if (!file.is_open() && file.path() == path && now - files->opened < kOpenAgain) {
        return fail(Errc::kUnavailable, "{}: not tried again yet", path);
      }
      files->opened = now;
      if (auto opened = file.open(path); !opened) {
        return opened;
      }
      remove_old_files(directory, "updates", keep);
    }
    return file.append(*bytes);
  };
  const bool posted =
      on_file_thread(size, append, [records](MrtDumper& self, const Result<void>& outcome) {
        self.on_written(outcome, records);
      });
  file_bytes_ += size;
  if (file_bytes_ > kLargestFile) {
    begin_file();
  }
  if (!posted) {
    on_written(fail(Errc::kExhausted, "{}: the disk is too slow", settings_.directory), records);
  }
}

void MrtDumper::on_written(const Result<void>& outcome, std::uint64_t records) {
  if (outcome) {
    status_.records += records;
    status_.updates_file = updates_path_;
    if (!std::exchange(status_.last_error, {}).empty()) {
      report_("written again");
    }
    return;
  }
  status_.lost += records;
  if (status_.last_error.empty()) {
    report_(outcome.error().text);
    status_.last_error = outcome.error().text;
  }
}

void MrtDumper::arm_rotation() {
  rotate_timer_.expires_after(until_multiple(settings_.rotate));
  rotate_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc) {
      self->rotate();
      self->arm_rotation();
    }
  });
}

void MrtDumper::rotate() {
  flush();
  begin_file();
}

void MrtDumper::begin_file() {
  updates_path_ = path_of("updates");
  file_bytes_ = 0;
}

void MrtDumper::arm_table() {
  table_timer_.expires_after(until_multiple(settings_.table));
  table_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc) {
      self->dump_table([](const Result<TableDump>&) {});
      self->arm_table();
    }
  });
}

MrtStatus MrtDumper::status() const {
  return status_;
}

}  // namespace margay::bgp
