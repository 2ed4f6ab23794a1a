#include "bgp/bmp_exporter.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <unistd.h>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLongestPause{60'000};
constexpr seconds kConnectLimit{10};
constexpr seconds kStallLimit{30};                // without a byte read, while bytes wait
constexpr std::size_t kMostWaiting = 16U << 20U;  // more ends the connection
constexpr std::size_t kFlushAt = 64U << 10U;

std::string host_name() {
  constexpr std::size_t kLongest = 256;
  std::array<char, kLongest> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "margay";
}

}  // namespace

BmpExporter::BmpExporter(asio::io_context& loop,
                         Transport& transport,
                         const Monitored& monitored,
                         BmpSettings settings,
                         Report report)
    : loop_(loop),
      transport_(transport),
      monitored_(monitored),
      settings_(std::move(settings)),
      report_(std::move(report)),
      retry_timer_(loop),
      tick_timer_(loop),
      pause_(kFirstPause) {}

void BmpExporter::start() {
  connect();
}

void BmpExporter::stop() {
  stopped_ = true;
  retry_timer_.cancel();
  tick_timer_.cancel();
  connecting_.reset();
  if (connection_) {
    bmp::write_termination(pending_, bmp::TerminationReason::kAdministrativelyClosed, "");
    flush();
  }
  if (connection_) {
    std::exchange(connection_, nullptr)->close();
  }
}

void BmpExporter::connect() {
  ConnectRequest request;
  request.address = settings_.address;
  request.port = settings_.port;
  connecting_ = transport_.connect(
      request, [weak = weak_from_this()](Result<std::shared_ptr<Connection>> outcome) {
        const auto self = weak.lock();
        if (!self || self->stopped_) {
          return;
        }
        self->retry_timer_.cancel();
        self->connecting_.reset();
        if (outcome) {
          self->on_connected(std::move(*outcome));
        } else {
          self->on_lost(outcome.error().text);
        }
      });
  retry_timer_.expires_after(kConnectLimit);
  retry_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc && self->connecting_) {
      self->connecting_.reset();
      self->on_lost("no answer to the connection");
    }
  });
}

void BmpExporter::on_connected(std::shared_ptr<Connection> connection) {
  connection_ = std::move(connection);
  since_ = std::chrono::system_clock::now();
  progress_ = std::chrono::steady_clock::now();
  statistics_ = progress_ + settings_.statistics;
  queued_bytes_ = 0;
  written_bytes_ = 0;
  pending_ = ByteWriter();
  Connection::Handlers handlers;
  handlers.on_bytes = [](Bytes /*bytes*/) {};  // section 3.3: a collector says nothing
  handlers.on_closed = [weak = weak_from_this()](const std::string& reason) {
    if (const auto self = weak.lock()) {
      self->on_lost(reason);
    }
  };
  handlers.on_drained = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->schedule_walk();
    }
  };
  connection_->start(std::move(handlers));
  failed_ = false;
  report_("connected");
  greet();
  arm_tick();
}

void BmpExporter::greet() {
  bmp::write_initiation(
      pending_, "Margay BGP speaker", settings_.name.empty() ? host_name() : settings_.name);
  ++messages_;
  Walk walk;
  for (const auto& [id, session] : monitored_.sessions) {
    write_peer_up(session);
    walk.peers.insert(id);
  }
  walks_.clear();
  walks_.push_back(std::move(walk));
  schedule_flush();
  schedule_walk();
}

// No connection, or none any more.
void BmpExporter::on_lost(const std::string& why) {
  if (connection_) {
    ++lost_;
    since_ = std::chrono::system_clock::now();
    connection_.reset();
  }
  last_error_ = why;
  walks_.clear();
  pending_ = ByteWriter();
  tick_timer_.cancel();
  if (!std::exchange(failed_, true)) {
    report_(why);
  }
  retry();
}

void BmpExporter::give_up(const std::string& why) {
  const auto connection = connection_;
  on_lost(why);
  connection->close();
}

void BmpExporter::retry() {
  retry_timer_.expires_after(pause_);
  pause_ = std::min(2 * pause_, kLongestPause);
  retry_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc && !self->stopped_) {
      self->connect();
    }
  });
}

void BmpExporter::schedule_flush() {
  if (pending_.size() >= kFlushAt) {
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

void BmpExporter::flush() {
  if (!connection_ || pending_.size() == 0) {
    return;
  }
  if (connection_->queued() + pending_.size() > kMostWaiting) {
    give_up("the collector reads too slowly");
    return;
  }
  queued_bytes_ += pending_.size();
  connection_->send(std::make_shared<const std::vector<std::uint8_t>>(pending_.take()));
  pending_ = ByteWriter();
}

void BmpExporter::arm_tick() {
  tick_timer_.expires_after(seconds(1));
  tick_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (self && !errc && self->connection_) {
      self->tick();
    }
  });
}

void BmpExporter::tick() {
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t written = queued_bytes_ - connection_->queued();
  if (written != written_bytes_ || connection_->queued() == 0) {
    written_bytes_ = written;
    progress_ = now;
  }
  if (now - progress_ > kStallLimit) {
    give_up("the collector has stopped reading");
    return;
  }
  if (settings_.statistics.count() > 0 && now >= statistics_) {
    statistics_ = now + settings_.statistics;
    report_statistics();
  }
  arm_tick();
}

BmpStatus BmpExporter::status() const {
  const bool dumping = std::ranges::any_of(walks_, [](const Walk& walk) { return walk.first; });
  return {.settings = settings_,
          .connected = connection_ != nullptr,
          .in_sync = connection_ != nullptr && !dumping,
          .since = since_,
          .last_error = last_error_,
          .messages = messages_,
          .waiting_bytes = connection_ ? connection_->queued() : 0,
          .lost = lost_};
}

}  // namespace margay::bgp
