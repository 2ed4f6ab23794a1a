#pragma once
// Sockets for the probe: numeric addresses only, so that a static program needs no name service.

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace margay::probe {

enum class Protocol : std::uint8_t { kTcp, kUdp, kSctp };

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] int family() const { return storage.ss_family; }
  [[nodiscard]] const sockaddr* get() const;
  [[nodiscard]] sockaddr* get();
};

std::optional<Protocol> parse_protocol(std::string_view text);
// "10.0.0.1:80" or "[fd00::1]:80".
std::optional<Address> parse_address(std::string_view text);
// An address to bind to, with a port or without one.
std::optional<Address> parse_source(std::string_view text);
std::optional<int> parse_number(std::string_view text, int min, int max);
// "500ms", "2s" or a number of seconds, in milliseconds.
std::optional<int> parse_duration_ms(std::string_view text);

// A non-blocking socket of the protocol; -1 with errno.
int open_socket(int family, Protocol protocol);
std::int64_t monotonic_ns();

}  // namespace margay::probe
