#include "bgp/monitor/record.h"

#include "bgp/monitor/record_codec.h"

#include <utility>

namespace margay::bgp {

namespace json = boost::json;

namespace {

json::object input_line(std::int64_t time, std::string_view what) {
  json::object line;
  line["t"] = time;
  line["in"] = what;
  return line;
}

json::object side_line(std::int64_t time, std::string_view what, Side side) {
  json::object line = input_line(time, what);
  line["side"] = record::to_string(side);
  return line;
}

}  // namespace

std::int64_t RecordedPeer::since(TimePoint now) const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now - begun_).count();
}

void RecordedPeer::begin(const RecordHeader& header, Sink sink, TimePoint now) {
  settings_ = header.settings;
  machine_ = Peer(settings_);
  begun_ = now;
  last_ = now;
  sink_ = std::move(sink);
  sink_(json::serialize(record::header_line(header)));
}

void RecordedPeer::end(std::string_view why) {
  if (const Sink sink = std::exchange(sink_, nullptr)) {
    json::object line;
    line["end"] = why;
    sink(json::serialize(line));
  }
}

void RecordedPeer::start(TimePoint now) {
  last_ = now;
  if (sink_) {
    sink_(json::serialize(input_line(since(now), "start")));
  }
  machine_.start(now);
}

void RecordedPeer::stop(const Notification& reason) {
  if (sink_) {
    json::object line = input_line(since(last_), "stop");
    line["hex"] = record::hex(encode_notification(reason));
    sink_(json::serialize(line));
  }
  machine_.stop(reason);
}

void RecordedPeer::on_connected(Side side, const Endpoints& endpoints, TimePoint now) {
  last_ = now;
  if (sink_) {
    json::object line = side_line(since(now), "connected", side);
    line["local"] = endpoints.local.str();
    line["remote"] = endpoints.remote.str();
    sink_(json::serialize(line));
  }
  machine_.on_connected(side, endpoints, now);
}

void RecordedPeer::on_connect_failed(TimePoint now) {
  last_ = now;
  if (sink_) {
    sink_(json::serialize(input_line(since(now), "connect failed")));
  }
  machine_.on_connect_failed(now);
}

void RecordedPeer::on_closed(Side side, std::string_view why, TimePoint now) {
  last_ = now;
  if (sink_) {
    json::object line = side_line(since(now), "closed", side);
    line["why"] = why;
    sink_(json::serialize(line));
  }
  machine_.on_closed(side, why, now);
}

std::size_t RecordedPeer::on_bytes(Side side, Bytes bytes, TimePoint now) {
  last_ = now;
  if (!sink_) {
    return machine_.on_bytes(side, bytes, now);
  }
  const std::size_t used = machine_.on_bytes(side, bytes, now);
  json::object line = side_line(since(now), "bytes", side);
  line["used"] = used;
  line["hex"] = record::hex(bytes);
  sink_(json::serialize(line));
  return used;
}

void RecordedPeer::on_update_error(const Notification& notification, TimePoint now) {
  last_ = now;
  if (sink_) {
    json::object line = input_line(since(now), "update error");
    line["hex"] = record::hex(encode_notification(notification));
    sink_(json::serialize(line));
  }
  machine_.on_update_error(notification, now);
}

void RecordedPeer::on_send_progress(Side side, bool progress, bool waiting, TimePoint now) {
  last_ = now;
  if (sink_) {
    json::object line = side_line(since(now), "sent", side);
    line["progress"] = progress;
    line["waiting"] = waiting;
    sink_(json::serialize(line));
  }
  machine_.on_send_progress(side, progress, waiting, now);
}

void RecordedPeer::on_deadline(TimePoint now) {
  last_ = now;
  if (sink_) {
    sink_(json::serialize(input_line(since(now), "deadline")));
  }
  machine_.on_deadline(now);
}

void RecordedPeer::give_up_silent(TimePoint now) {
  last_ = now;
  if (sink_) {
    sink_(json::serialize(input_line(since(now), "give up silent")));
  }
  machine_.give_up_silent(now);
}

void RecordedPeer::probe(TimePoint now) {
  last_ = now;
  if (sink_) {
    sink_(json::serialize(input_line(since(now), "probe")));
  }
  machine_.probe(now);
}

void RecordedPeer::set_restarting(bool restarting) {
  settings_.session.restarting = restarting;
  if (sink_) {
    json::object line = input_line(since(last_), "restarting");
    line["value"] = restarting;
    sink_(json::serialize(line));
  }
  machine_.set_restarting(restarting);
}

bool RecordedPeer::request_refresh(AfiSafi family) {
  if (sink_) {
    json::object line = input_line(since(last_), "request refresh");
    line["afi"] = family.afi;
    line["safi"] = family.safi;
    sink_(json::serialize(line));
  }
  return machine_.request_refresh(family);
}

Actions RecordedPeer::take_actions() {
  Actions actions = machine_.take_actions();
  if (sink_ && !actions.empty()) {
    json::array words;
    for (const Action& action : actions) {
      words.emplace_back(record::to_string(action));
    }
    json::object line;
    line["out"] = std::move(words);
    const auto next = machine_.next_deadline();
    line["next"] = next ? json::value(since(*next)) : json::value(nullptr);
    sink_(json::serialize(line));
  }
  return actions;
}

void RecordedPeer::on_table(TableCall call) {
  if (sink_) {
    json::object line;
    line["table"] = record::to_string(call);
    sink_(json::serialize(line));
  }
}

void RecordedPeer::on_long_lived(Family family) {
  if (sink_) {
    json::object line;
    line["table"] = "long-lived";
    line["ipv6"] = family == Family::kIpv6;
    sink_(json::serialize(line));
  }
}

void RecordedPeer::on_stale_dropped(Family family) {
  if (sink_) {
    json::object line;
    line["table"] = "drop stale";
    line["ipv6"] = family == Family::kIpv6;
    sink_(json::serialize(line));
  }
}

void RecordedPeer::on_filters(const PeerFilters& filters) {
  if (sink_) {
    json::object line;
    line["table"] = "filters";
    line["filters"] = record::filters_value(filters);
    sink_(json::serialize(line));
  }
}

void RecordedPeer::on_update(const Result<UpdateReport, Notification>& answer,
                             const PeerCounts& counts) {
  if (sink_) {
    json::object line;
    line["table"] = "update";
    line["answer"] = record::to_string(answer, counts);
    sink_(json::serialize(line));
  }
}

}  // namespace margay::bgp
