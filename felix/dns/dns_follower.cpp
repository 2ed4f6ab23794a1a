#include "felix/dns/dns_follower.h"

#include "base/durable_file.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/system_timer.hpp>
#include <boost/json.hpp>

#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
namespace json = boost::json;
using std::chrono::seconds;
using std::chrono::system_clock;

namespace {

constexpr const char* kFileName = "/domain-names";
constexpr seconds kSaveInterval{1};
constexpr seconds kOpenRetry{1};

std::string to_text(const std::vector<DomainTable::Entry>& entries) {
  json::array list;
  for (const DomainTable::Entry& entry : entries) {
    list.push_back({{"name", entry.name},
                    {"address", entry.address.str()},
                    {"expires", system_clock::to_time_t(entry.expires)}});
  }
  return json::serialize(list) + "\n";
}

// What does not decode is left out: it will be learnt again.
std::vector<DomainTable::Entry> from_text(const std::string& text) {
  std::vector<DomainTable::Entry> out;
  boost::system::error_code errc;
  const json::value list = json::parse(text, errc);
  if (errc || !list.is_array()) {
    return out;
  }
  for (const json::value& item : list.get_array()) {
    const json::object* object = item.if_object();
    const auto field = [object](const char* name) {
      return object == nullptr ? nullptr : object->if_contains(name);
    };
    const json::value* name = field("name");
    const json::value* address = field("address");
    const json::value* expires = field("expires");
    if (name == nullptr || address == nullptr || expires == nullptr || !name->is_string() ||
        !address->is_string() || !expires->is_int64()) {
      continue;
    }
    if (const auto addr = IpAddr::parse(std::string_view(address->get_string()))) {
      out.push_back({std::string(name->get_string()),
                     *addr,
                     system_clock::from_time_t(expires->get_int64())});
    }
  }
  return out;
}

}  // namespace

struct DnsFollower::State {
  explicit State(Environment given)
      : environment(std::move(given)),
        readable(environment.io),
        end_timer(environment.io),
        save_timer(environment.io),
        open_timer(environment.io) {}

  void load() {
    std::ifstream file(environment.state_dir + kFileName);
    std::stringstream text;
    text << file.rdbuf();
    for (const DomainTable::Entry& entry : from_text(text.str())) {
      table.learn(entry.name, entry.address, entry.expires);
    }
    table.expire(system_clock::now());
    tell();
  }

  void open() {
    auto opened = open_packet_log(environment.group);
    if (!opened) {
      environment.warn(fmt::format("DNS answers are not read: {}", opened.error().text));
      open_timer.expires_after(kOpenRetry);
      open_timer.async_wait([this](const boost::system::error_code& errc) {
        if (!errc) {
          open();
        }
      });
      return;
    }
    log = std::move(*opened);
    readable.assign(log->descriptor());
    wait();
  }

  void wait() {
    readable.async_wait(asio::posix::stream_descriptor::wait_read,
                        [this](const boost::system::error_code& errc) {
                          if (!errc) {
                            take();
                            wait();
                          }
                        });
  }

  void take() {
    const PacketLog::Taken taken = log->take();
    if (taken.lost) {
      environment.warn("DNS answers were lost: more of them than can be read");
    }
    const auto now = system_clock::now();
    bool learnt = false;
    for (const auto& packet : taken.packets) {
      for (const DomainAddress& found : parse_dns_answer(packet)) {
        if (environment.wanted(found.name)) {
          table.learn(found.name, found.address, now + life(found.ttl, extra));
          learnt = true;
        }
      }
    }
    table.expire(now);
    tell();
    if (learnt) {
      save_soon();
    }
  }

  void tell() {
    const std::set<std::string> changed = table.take_changed();
    for (const std::string& name : changed) {
      environment.on_domain(name, table.addresses(name));
    }
    if (!changed.empty()) {
      environment.on_changed();
    }
    wait_for_end();
  }

  void wait_for_end() {
    const auto end = table.next_end();
    if (!end || (waits_for && *waits_for <= *end && *waits_for > system_clock::now())) {
      return;  // an early wake-up does no harm
    }
    waits_for = end;
    end_timer.expires_at(*end);
    end_timer.async_wait([this](const boost::system::error_code& errc) {
      if (errc) {
        return;
      }
      waits_for.reset();
      table.expire(system_clock::now());
      tell();
    });
  }

  // Times change with every answer; the file is at most kSaveInterval behind.
  void save_soon() {
    if (std::exchange(saving, true)) {
      return;
    }
    save_timer.expires_after(kSaveInterval);
    save_timer.async_wait([this](const boost::system::error_code& errc) {
      saving = false;
      if (!errc) {
        save();
      }
    });
  }

  void save() {
    environment.on_worker([path = environment.state_dir + kFileName,
                           text = to_text(table.entries()),
                           warn = environment.warn,
                           &io = environment.io] {
      if (auto written = replace_file(path, text); !written) {
        asio::post(io, [warn, error = written.error().text] {
          warn(fmt::format("learnt domain names are not kept: {}", error));
        });
      }
    });
  }

  Environment environment;
  DomainTable table;
  std::unique_ptr<PacketLog> log;
  seconds extra{0};
  bool needed = false;
  bool saving = false;
  std::optional<WallTime> waits_for;
  asio::posix::stream_descriptor readable;
  asio::system_timer end_timer;
  asio::steady_timer save_timer;
  asio::steady_timer open_timer;
};

DnsFollower::DnsFollower(Environment environment)
    : state_(std::make_unique<State>(std::move(environment))) {
  state_->load();
}

DnsFollower::~DnsFollower() {
  if (state_->readable.is_open()) {
    state_->readable.release();  // the log closes it
  }
}

void DnsFollower::update(bool needed, seconds extra) {
  state_->extra = extra;
  if (needed && !std::exchange(state_->needed, true)) {
    state_->open();
  }
}

}  // namespace margay::felix
