#include "bgp/monitoring.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

// Of all files together; more is not written (MRT) or ends a record.
constexpr std::size_t kMostWaitingForFiles = 64U << 20U;

bmp::PeerDownReason reason_of(const SessionDown& down) {
  if (down.sent) {
    return bmp::LocalNotification{*down.sent};
  }
  if (down.received) {
    return bmp::RemoteNotification{*down.received};
  }
  return bmp::RemoteClosed{};
}

std::string place_of(const BmpSettings& bmp) {
  const std::string address = bmp.address.str();
  return bmp.address.is_v4() ? fmt::format("bmp {}:{}", address, bmp.port)
                             : fmt::format("bmp [{}]:{}", address, bmp.port);
}

}  // namespace

Monitoring::Monitoring(boost::asio::io_context& loop, Report report)
    : loop_(loop), report_(std::move(report)), transport_(loop) {}

FileThread& Monitoring::files() {
  if (!files_) {
    files_ = std::make_unique<FileThread>(kMostWaitingForFiles);
  }
  return *files_;
}

void Monitoring::configure(const std::vector<BmpSettings>& bmp,
                           const std::optional<MrtSettings>& mrt) {
  std::erase_if(exporters_, [&bmp](const auto& exporter) {
    const bool stays = std::ranges::find(bmp, exporter->settings()) != bmp.end();
    if (!stays) {
      exporter->stop();
    }
    return !stays;
  });
  for (const BmpSettings& settings : bmp) {
    const bool runs = std::ranges::any_of(
        exporters_, [&settings](const auto& exporter) { return exporter->settings() == settings; });
    if (!runs) {
      exporters_.push_back(std::make_shared<BmpExporter>(
          loop_,
          transport_,
          monitored_,
          settings,
          [this, place = place_of(settings)](const std::string& what) { report_(place, what); }));
      exporters_.back()->start();
    }
  }
  if (dumper_ && (!mrt || dumper_->settings() != *mrt)) {
    dumper_->stop();
    dumper_.reset();
  }
  if (mrt && !dumper_) {
    dumper_ = std::make_shared<MrtDumper>(
        loop_, files(), monitored_, *mrt, [this](const std::string& what) {
          report_("mrt", what);
        });
    dumper_->start();
  }
}

void Monitoring::set_table(const Rib& rib, Asn asn, RouterId router_id) {
  monitored_.rib = &rib;
  monitored_.asn = asn;
  monitored_.router_id = router_id;
  for (const auto& exporter : exporters_) {
    exporter->on_new_table();
  }
  if (dumper_) {
    dumper_->on_new_table();
  }
}

void Monitoring::stop() {
  configure({}, std::nullopt);
}

void Monitoring::on_state(const mrt::Ends& ends, SessionState from, SessionState to) {
  if (dumper_) {
    dumper_->on_state(ends, from, to);
  }
}

void Monitoring::on_up(MonitoredSession session) {
  const PeerId id = session.id;
  const auto& stored = monitored_.sessions.insert_or_assign(id, std::move(session)).first->second;
  for (const auto& exporter : exporters_) {
    exporter->on_up(stored);
  }
}

void Monitoring::on_down(PeerId id, const SessionDown& down) {
  const auto session = monitored_.sessions.find(id);
  if (session == monitored_.sessions.end()) {
    return;
  }
  for (const auto& exporter : exporters_) {
    exporter->on_down(session->second, reason_of(down));
  }
  monitored_.sessions.erase(session);
}

void Monitoring::on_update(PeerId id, Bytes body) {
  if (exporters_.empty() && !dumper_) {
    return;
  }
  const auto found = monitored_.sessions.find(id);
  if (found == monitored_.sessions.end()) {
    return;
  }
  const MonitoredSession& session = found->second;
  for (const auto& exporter : exporters_) {
    exporter->on_update(session, body);
  }
  if (dumper_) {
    const mrt::Ends ends{.peer_asn = session.asn,
                         .local_asn = session.local_asn,
                         .peer = session.address,
                         .local = session.local_address,
                         .four_octet_as = session.facts.codec.four_octet_as,
                         .add_path = has_path_ids(body, session.facts.codec)};
    dumper_->on_message(ends, MessageType::kUpdate, body);
  }
}

void Monitoring::on_updated(PeerId id, Bytes body, const UpdateReport& report) {
  if (!report.outcome && exporters_.empty()) {
    return;
  }
  const auto session = monitored_.sessions.find(id);
  if (session == monitored_.sessions.end()) {
    return;
  }
  if (report.outcome == Outcome::kWithdraw) {
    ++session->second.updates_as_withdraw;
    session->second.prefixes_as_withdraw += report.withdrawn;
  }
  const bool post_policy = std::ranges::any_of(
      exporters_, [](const auto& exporter) { return exporter->settings().post_policy; });
  if (!post_policy) {
    return;
  }
  const UpdateSubject subject = subject_of(body, session->second.facts.codec);
  for (const auto& exporter : exporters_) {
    exporter->on_updated(session->second, subject);
  }
}

void Monitoring::on_refiltered(PeerId id) {
  const auto session = monitored_.sessions.find(id);
  if (session == monitored_.sessions.end()) {
    return;
  }
  for (const auto& exporter : exporters_) {
    exporter->on_refiltered(session->second);
  }
}

std::shared_ptr<Recorder> Monitoring::recorder(const RecordSettings& settings,
                                               const std::string& peer) {
  return std::make_shared<Recorder>(loop_, files(), settings, peer);
}

std::vector<BmpStatus> Monitoring::bmp_status() const {
  std::vector<BmpStatus> all;
  for (const auto& exporter : exporters_) {
    all.push_back(exporter->status());
  }
  return all;
}

std::optional<MrtStatus> Monitoring::mrt_status() const {
  return dumper_ ? std::optional(dumper_->status()) : std::nullopt;
}

void Monitoring::dump_table(MrtDumper::OnDumped on_dumped) {
  if (dumper_) {
    dumper_->dump_table(std::move(on_dumped));
  } else {
    on_dumped(fail(Errc::kNotFound, "no directory for MRT files is configured"));
  }
}

}  // namespace margay::bgp
