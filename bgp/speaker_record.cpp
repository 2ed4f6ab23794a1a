// The record of a peer (bgp/monitor/record.h): when it begins, and when it has to end.

#include "bgp/speaker_peer.h"

#include <boost/asio/post.hpp>
#include <fmt/chrono.h>

#include <ctime>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

void SpeakerPeer::set_recorder() {
  if (recorder_) {
    machine_.end("it was switched off");
    recorder_->flush();
    recorder_.reset();
  }
  if (config_.record) {
    recorder_ = services_.monitoring.recorder(*config_.record, config_.name);
  }
}

bool SpeakerPeer::may_begin_record() const {
  return recorder_ && recorder_->ready() && !machine_.recording() && !stopped_ && !in_table_ &&
         config_.held.empty() && machine_.state() <= SessionState::kActive;
}

// With a machine that is new, so that the record has all that it decides.
// NOLINTNEXTLINE(misc-no-recursion): what leads here again is posted, never called from within
void SpeakerPeer::begin_record() {
  connecting_.reset();
  RecordHeader header;
  header.peer = config_.name;
  header.time = fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)));
  header.settings = machine_.settings();
  header.rib = services_.rib.options();
  header.table = table_peer();
  recorder_->begin();
  const TimePoint now = Clock::now();
  machine_.begin(
      header, [recorder = recorder_](const std::string& line) { recorder->write(line); }, now);
  machine_.start(now);
  settle();
}

// NOLINTNEXTLINE(misc-no-recursion): as above
void SpeakerPeer::review_record() {
  if (machine_.recording() && !recorder_->over().empty()) {
    machine_.end(recorder_->over());
    recorder_->flush();
  } else if (may_begin_record()) {
    // Not from within what the machine has just decided.
    // NOLINTNEXTLINE(misc-no-recursion): as above
    asio::post(services_.loop, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && self->may_begin_record()) {
        self->begin_record();
      }
    });
  }
}

std::string SpeakerPeer::record_text() const {
  if (!recorder_) {
    return {};
  }
  if (machine_.recording()) {
    return recorder_->path();
  }
  return recorder_->over().empty() ? "begins with the next session" : "ended: " + recorder_->over();
}

}  // namespace margay::bgp
