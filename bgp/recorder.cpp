#include "bgp/recorder.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

namespace margay::bgp {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFlushRecordAt = 64U << 10U;
constexpr std::chrono::minutes kTryAgain{1};
constexpr std::uint64_t kRoomForEnd = 256;  // the last line of a record

// A name that cannot lead elsewhere.
std::string file_name(std::string peer) {
  std::ranges::replace(peer, '/', '_');
  return peer.starts_with('.') ? "_" + peer : peer;
}

}  // namespace

Recorder::Recorder(asio::io_context& loop,
                   FileThread& files,
                   RecordSettings settings,
                   const std::string& peer)
    : loop_(loop),
      thread_(files),
      settings_(std::move(settings)),
      path_(fmt::format("{}/{}.jsonl", settings_.directory, file_name(peer))),
      before_(fmt::format("{}/{}.1.jsonl", settings_.directory, file_name(peer))) {}

bool Recorder::ready() const {
  return !failed_ || std::chrono::steady_clock::now() - *failed_ > kTryAgain;
}

void Recorder::begin() {
  over_.clear();
  pending_.clear();
  size_ = 0;
  file_ = std::make_shared<RecordFile>();
  (void)thread_.post(0, [path = path_, before = before_] {
    std::error_code ignored;
    fs::rename(path, before, ignored);
  });
}

void Recorder::write(const std::string& line) {
  pending_ += line;
  pending_ += '\n';
  size_ += line.size() + 1;
  if (size_ + kRoomForEnd > settings_.max_bytes && over_.empty()) {
    over_ = "the file is full";
  }
  schedule_flush();
}

void Recorder::schedule_flush() {
  if (pending_.size() >= kFlushRecordAt) {
    flush();
    return;
  }
  if (std::exchange(flush_scheduled_, true)) {
    return;
  }
  asio::post(loop_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->flush_scheduled_ = false;
      self->flush();
    }
  });
}

void Recorder::flush() {
  if (pending_.empty()) {
    return;
  }
  const std::vector<std::uint8_t> bytes(pending_.begin(), pending_.end());
  pending_.clear();
  const auto append = [&loop = loop_, weak = weak_from_this(), file = file_, path = path_, bytes] {
    auto outcome = file->is_open() ? Result<void>() : file->open(path);
    if (outcome) {
      outcome = file->append(bytes);
    }
    if (!outcome) {
      asio::post(loop, [weak, file, why = outcome.error().text] {
        if (const auto self = weak.lock(); self && self->file_ == file) {
          self->over_ = why;
          self->failed_ = std::chrono::steady_clock::now();
        }
      });
    }
  };
  if (!thread_.post(bytes.size(), append)) {
    over_ = "the disk is too slow";
    failed_ = std::chrono::steady_clock::now();
  }
}

}  // namespace margay::bgp
