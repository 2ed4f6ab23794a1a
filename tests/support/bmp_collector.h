#pragma once
// BmpCollector: a monitoring station for tests, written from RFC 7854 and not from our encoder. It
// listens, takes one router at a time, and keeps what that tells: sessions, their routes before and
// behind policy, reports. What breaks the RFC is an error. Blocking with deadlines;
// single-threaded.

#include "bgp/wire/message.h"

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::bgp::test {

class BmpCollector {
 public:
  struct Rib {
    std::map<Prefix, AttributeSet> routes;
    std::set<AfiSafi> ended;  // End-of-RIB came
    unsigned updates = 0;
  };
  struct Session {
    bool up = false;
    Asn asn;
    RouterId router_id;
    bool two_octet_as = false;
    IpAddr local;
    std::uint16_t local_port = 0;
    std::uint16_t remote_port = 0;
    Open sent;
    Open received;
    std::uint64_t up_seconds = 0;      // the time in Peer Up
    std::uint64_t update_seconds = 0;  // in the last Route Monitoring
    Rib before_policy;
    Rib behind_policy;
    std::optional<unsigned> down_reason;  // of Peer Down
    std::optional<Notification> notification;
    std::map<unsigned, std::uint64_t> statistics;
  };

  static Result<BmpCollector> listen(const IpAddr& address, std::uint16_t port);
  ~BmpCollector();
  BmpCollector(BmpCollector&& other) noexcept;
  BmpCollector& operator=(BmpCollector&& other) noexcept;
  BmpCollector(const BmpCollector&) = delete;
  BmpCollector& operator=(const BmpCollector&) = delete;

  // Accepts and reads until the condition holds; false at the deadline or on an error.
  template <typename Condition>
  bool receive_until(Condition condition, std::chrono::milliseconds timeout) {
    const auto end = std::chrono::steady_clock::now() + timeout;
    while (!condition()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0 || !error_.empty()) {
        return false;
      }
      receive(left);
    }
    return true;
  }
  // Waits for a connection that is then not read.
  bool accept(std::chrono::milliseconds timeout);
  // Ends the connection and forgets everything.
  void drop();

  [[nodiscard]] bool connected() const { return connection_ >= 0; }
  [[nodiscard]] const std::map<IpAddr, Session>& sessions() const { return sessions_; }
  [[nodiscard]] const Session* session(std::string_view address) const;
  [[nodiscard]] const std::string& system_name() const { return system_name_; }
  [[nodiscard]] const std::string& system_description() const { return system_description_; }
  [[nodiscard]] const std::optional<unsigned>& termination() const { return termination_; }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct PeerHeader;
  BmpCollector() = default;
  void receive(std::chrono::milliseconds timeout);
  void take_messages();
  void take(unsigned type, Bytes body);
  void take_peer_message(unsigned type, Bytes body);
  void peer_up(const PeerHeader& peer, ByteReader in);
  void peer_down(const PeerHeader& peer, ByteReader in);
  void route_monitoring(const PeerHeader& peer, ByteReader in);
  void statistics(const PeerHeader& peer, ByteReader in);
  void initiation(ByteReader in);
  void termination(ByteReader in);
  void wrong(const std::string& what);

  int listener_ = -1;
  int connection_ = -1;
  std::vector<std::uint8_t> buffer_;
  bool initiated_ = false;
  std::map<IpAddr, Session> sessions_;
  std::string system_name_;
  std::string system_description_;
  std::optional<unsigned> termination_;
  std::string error_;
};

}  // namespace margay::bgp::test
