#include "tests/lab/probe/net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <string>

namespace margay::probe {
namespace {

constexpr int kMaxPort = 65535;
constexpr int kMaxSeconds = 86400;

}  // namespace

const sockaddr* Address::get() const {
  return reinterpret_cast<const sockaddr*>(&storage);
}
sockaddr* Address::get() {
  return reinterpret_cast<sockaddr*>(&storage);
}

std::optional<Protocol> parse_protocol(std::string_view text) {
  if (text == "tcp") {
    return Protocol::kTcp;
  }
  if (text == "udp") {
    return Protocol::kUdp;
  }
  return text == "sctp" ? std::optional(Protocol::kSctp) : std::nullopt;
}

std::optional<int> parse_number(std::string_view text, int min, int max) {
  int value = 0;
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < min || value > max) {
    return std::nullopt;
  }
  return value;
}

std::optional<int> parse_duration_ms(std::string_view text) {
  constexpr int kPerSecond = 1000;
  if (text.ends_with("ms")) {
    return parse_number(text.substr(0, text.size() - 2), 0, kMaxSeconds * kPerSecond);
  }
  if (text.ends_with('s')) {
    text.remove_suffix(1);
  }
  const auto seconds = parse_number(text, 0, kMaxSeconds);
  return seconds ? std::optional(*seconds * kPerSecond) : std::nullopt;
}

std::optional<Address> parse_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const auto port = parse_number(text.substr(colon + 1), 1, kMaxPort);
  std::string host(text.substr(0, colon));
  if (!port) {
    return std::nullopt;
  }
  Address address;
  if (host.starts_with('[') && host.ends_with(']')) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(static_cast<std::uint16_t>(*port));
    address.length = sizeof(sockaddr_in6);
    host = host.substr(1, host.size() - 2);
    return ::inet_pton(AF_INET6, host.c_str(), &in6->sin6_addr) == 1 ? std::optional(address)
                                                                     : std::nullopt;
  }
  auto* in4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  in4->sin_family = AF_INET;
  in4->sin_port = htons(static_cast<std::uint16_t>(*port));
  address.length = sizeof(sockaddr_in);
  return ::inet_pton(AF_INET, host.c_str(), &in4->sin_addr) == 1 ? std::optional(address)
                                                                 : std::nullopt;
}

std::optional<Address> parse_source(std::string_view text) {
  const auto colons = std::ranges::count(text, ':');
  if ((colons == 1 && !text.starts_with('[')) || text.find("]:") != std::string_view::npos) {
    return parse_address(text);
  }
  const bool bare_v6 = colons > 0 && !text.starts_with('[');
  auto address =
      parse_address((bare_v6 ? "[" + std::string(text) + "]" : std::string(text)) + ":1");
  if (address) {
    // The port is at the same place in both families' addresses.
    reinterpret_cast<sockaddr_in*>(&address->storage)->sin_port = 0;
  }
  return address;
}

int open_socket(int family, Protocol protocol) {
  const int type = protocol == Protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

std::int64_t monotonic_ns() {
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kPerSecond + now.tv_nsec;
}

}  // namespace margay::probe
