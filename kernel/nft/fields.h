#pragma once
// How each field of the model is read by nftables expressions, and how wide it is.

#include "kernel/model/nft.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace margay::nft {

enum class Loader : std::uint8_t { kPayload, kMeta, kCt, kFib };

struct FieldCode {
  Field field{};
  Loader loader{};
  std::uint32_t key = 0;      // meta or ct key, payload base, fib result
  std::uint32_t offset = 0;   // payload only; fib: flags
  std::uint32_t bytes = 0;    // as loaded, without padding
  std::uint8_t family = 0;    // NFPROTO that the packet must have, 0 = any
  std::uint8_t protocol = 0;  // IPPROTO that the packet must have, 0 = any
};

[[nodiscard]] const FieldCode& code_of(Field field);
[[nodiscard]] std::span<const FieldCode> all_fields();

[[nodiscard]] constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + 3) / 4 * 4;
}

// Width and nft's number of a data type (nft's datatype.h: the numbers are part of what `nft list`
// reads from the kernel).
struct TypeCode {
  DataType type{};
  std::uint32_t number = 0;
  std::uint32_t bytes = 0;
  bool host_order = false;
};
[[nodiscard]] const TypeCode& code_of(DataType type);
[[nodiscard]] std::optional<DataType> type_of(std::uint32_t number);

// Bytes of the whole key as the kernel has it: padded parts, or the bare width of a single part.
[[nodiscard]] std::uint32_t key_bytes(const DataTypes& types);

}  // namespace margay::nft
