// The dumps of the table to MRT files.

#include "bgp/mrt_dumper.h"

#include <filesystem>
#include <utility>

namespace margay::bgp {

namespace fs = std::filesystem;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kPlacesPerSlice = 1024;
constexpr std::size_t kDumpPause = 4U << 20U;  // the dump waits while more is not written
constexpr milliseconds kDumpWait{20};
constexpr seconds kAnswerAfter{1};  // who asked for a dump waits no longer

}  // namespace

void MrtDumper::dump_table(OnDumped on_dumped) {
  const bool under_way = dump_ != nullptr;
  if (!under_way) {
    dump_ = std::make_unique<Dump>();
    dump_->number = ++dumps_;
    dump_->path = path_of("table");
    dump_->time = unix_time();
  }
  dump_->waiting.push_back(std::move(on_dumped));
  if (!under_way) {
    write_index();
    schedule_slice(milliseconds(0));
  }
  answer_timer_.expires_after(kAnswerAfter);
  answer_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc && self->dump_) {
      self->answer(*self->dump_, TableDump{self->dump_->path, false});
    }
  });
}

void MrtDumper::answer(Dump& dump, const Result<TableDump>& outcome) {
  for (const OnDumped& on_dumped : std::exchange(dump.waiting, {})) {
    on_dumped(outcome);
  }
}

void MrtDumper::write_index() {
  // Our own networks are told by a peer with our identifier and no address.
  std::vector<mrt::IndexedPeer> peers{{IpAddr(), monitored_.asn, monitored_.router_id}};
  dump_->place_of[kLocalPeer] = 0;
  dump_->since[kLocalPeer] = dump_->time;
  for (const auto& [id, session] : monitored_.sessions) {
    dump_->place_of[id] = static_cast<std::uint16_t>(peers.size());
    dump_->since[id] = static_cast<mrt::UnixTime>(
        std::chrono::duration_cast<seconds>(session.since.time_since_epoch()).count());
    peers.push_back({session.address, session.asn, session.facts.peer.id});
  }
  ByteWriter record;
  mrt::write_peer_index(record, dump_->time, monitored_.router_id, "", peers);
  const auto open = [files = files_, path = dump_->path + ".part"]() -> Result<void> {
    std::error_code ignored;
    fs::remove(path, ignored);
    return files->table.open(path);
  };
  const bool posted = on_file_thread(
      0, open, [number = dump_->number](MrtDumper& self, const Result<void>& outcome) {
        self.on_dump_written(number, outcome);
      });
  MARGAY_ASSERT(posted);  // nothing is always within the bound
  append_to_dump(std::move(record));
}

void MrtDumper::schedule_slice(milliseconds delay) {
  slice_timer_.expires_after(delay);
  slice_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc) {
      self->dump_slice();
    }
  });
}

void MrtDumper::dump_slice() {
  if (!dump_) {
    return;
  }
  if (thread_.waiting() > kDumpPause) {
    schedule_slice(kDumpWait);
    return;
  }
  ByteWriter records;
  std::vector<mrt::RibEntry> entries;
  Prefix prefix;
  const auto write = [&] {
    if (!entries.empty()) {
      mrt::write_rib(records, dump_->time, dump_->sequence++, prefix, entries);
      entries.clear();
    }
  };
  const auto next = monitored_.rib->walk(dump_->at, kPlacesPerSlice, [&](const StoredPath& path) {
    if (path.nlri.prefix != prefix) {
      write();
      prefix = path.nlri.prefix;
    }
    if (const auto place = dump_->place_of.find(path.peer); place != dump_->place_of.end()) {
      entries.push_back({place->second, dump_->since[path.peer], path.nlri.path_id, path.received});
    }
  });
  write();
  append_to_dump(std::move(records));
  if (dump_ && next) {
    dump_->at = *next;
    schedule_slice(milliseconds(0));
  } else if (dump_) {
    finish_dump();
  }
}

void MrtDumper::append_to_dump(ByteWriter records) {
  if (records.size() == 0) {
    return;
  }
  const std::size_t size = records.size();
  const auto bytes = std::make_shared<const std::vector<std::uint8_t>>(records.take());
  const auto append = [files = files_, bytes]() -> Result<void> {
    return files->table.is_open() ? files->table.append(*bytes) : Result<void>();
  };
  const bool posted = on_file_thread(
      size, append, [number = dump_->number](MrtDumper& self, const Result<void>& outcome) {
        self.on_dump_written(number, outcome);
      });
  if (!posted) {
    on_dump_ended(fail(Errc::kExhausted, "{}: the disk is too slow", settings_.directory));
  }
}

void MrtDumper::finish_dump() {
  const auto close =
      [files = files_, path = dump_->path, keep = settings_.keep]() -> Result<std::string> {
    if (!files->table.is_open()) {
      return fail(Errc::kUnavailable, "{}: not written", path);
    }
    files->table.close();
    std::error_code error;
    fs::rename(path + ".part", path, error);
    if (error) {
      return fail_errno(error.value(), "{}", path);
    }
    remove_old_files(fs::path(path).parent_path().string(), "table", keep);
    return path;
  };
  const bool posted = on_file_thread(
      0, close, [number = dump_->number](MrtDumper& self, const Result<std::string>& outcome) {
        if (self.dump_ && self.dump_->number == number) {
          self.on_dump_ended(outcome);
        }
      });
  MARGAY_ASSERT(posted);
}

void MrtDumper::on_dump_written(std::uint64_t number, const Result<void>& outcome) {
  if (!outcome && dump_ && dump_->number == number) {
    on_dump_ended(fail(outcome.error()));
  }
}

// Once for each dump: the first failure ends it.
void MrtDumper::on_dump_ended(const Result<std::string>& outcome) {
  const auto ended = std::exchange(dump_, nullptr);
  if (!ended) {
    return;
  }
  if (outcome) {
    status_.table_file = *outcome;
  } else {
    status_.last_error = outcome.error().text;
    report_(outcome.error().text);
    (void)thread_.post(0, [files = files_, path = ended->path + ".part"] {
      files->table.close();
      std::error_code ignored;
      fs::remove(path, ignored);
    });
  }
  answer(*ended, outcome ? Result<TableDump>(TableDump{*outcome, true}) : fail(outcome.error()));
}

void MrtDumper::on_new_table() {
  on_dump_ended(fail(Errc::kUnavailable, "the table was made anew"));
}

}  // namespace margay::bgp
