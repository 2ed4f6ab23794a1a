#pragma once
// A batch of netlink requests sent in one system call, with the outcome of each.

#include "kernel/netlink/socket.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace margay {

class RequestBatch {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): begin() writes what end() reads
  explicit RequestBatch(NetlinkSocket& socket) : socket_(socket) {}

  // Starts a message; attributes are appended with the functions of libmnl. It ends with end().
  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags);
  void end();

  [[nodiscard]] std::size_t size() const { return count_; }
  // errno of each message, 0 for success. An error when the kernel could not be asked at all.
  Result<std::vector<int>> run();
  // The messages as bytes, for a dump.
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kMaxMessage = 16384;

  NetlinkSocket& socket_;
  alignas(8) std::array<std::uint8_t, kMaxMessage> scratch_;
  std::vector<std::uint8_t> bytes_;
  std::size_t last_ = 0;
  std::uint32_t first_sequence_ = 0;
  std::size_t count_ = 0;
};

// Attribute helpers on top of libmnl.
void put_attr(nlmsghdr* message, std::uint16_t type, std::span<const std::uint8_t> bytes);
void put_text(nlmsghdr* message, std::uint16_t type, const std::string& text);

}  // namespace margay
