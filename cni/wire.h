#pragma once
// Sizes of the messages on cni.sock. Each message is preceded by its length, 4 bytes in network
// order.

#include <array>
#include <cstddef>
#include <cstdint>

namespace margay::cni {

inline constexpr std::size_t kLengthBytes = 4;
// A network configuration with its previous result is a few kilobytes; more than this is refused.
inline constexpr std::size_t kMaxMessage = 1U << 20U;

[[nodiscard]] constexpr std::array<char, kLengthBytes> encode_length(std::size_t size) {
  return {static_cast<char>((size >> 24U) & 0xFFU),
          static_cast<char>((size >> 16U) & 0xFFU),
          static_cast<char>((size >> 8U) & 0xFFU),
          static_cast<char>(size & 0xFFU)};
}
[[nodiscard]] constexpr std::size_t decode_length(const std::array<char, kLengthBytes>& bytes) {
  std::size_t size = 0;
  for (const char byte : bytes) {
    size = size << 8U | static_cast<unsigned char>(byte);
  }
  return size;
}

}  // namespace margay::cni
