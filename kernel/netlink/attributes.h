#pragma once
// Walking over the attributes of a received message. For .cpp files of this folder only.

#include <libmnl/libmnl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace margay {

template <typename F>
void for_each_attr(const void* start, const void* end, const F& function) {
  const auto* attr = static_cast<const nlattr*>(start);
  const auto* limit = static_cast<const char*>(end);
  while (mnl_attr_ok(attr, static_cast<int>(limit - reinterpret_cast<const char*>(attr)))) {
    function(attr);
    attr = mnl_attr_next(attr);
  }
}

// The attributes behind the fixed header of a message.
template <typename F>
void for_each_attr(const nlmsghdr* message, std::size_t header_bytes, const F& function) {
  for_each_attr(mnl_nlmsg_get_payload_offset(message, header_bytes),
                mnl_nlmsg_get_payload_tail(message),
                function);
}
template <typename F>
void for_each_nested(const nlattr* nest, const F& function) {
  const auto* start = static_cast<const char*>(mnl_attr_get_payload(nest));
  for_each_attr(start, start + mnl_attr_get_payload_len(nest), function);
}

[[nodiscard]] inline std::span<const std::uint8_t> bytes_of(const nlattr* attr) {
  return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(attr)),
          mnl_attr_get_payload_len(attr)};
}
// 0 when the attribute is too short.
[[nodiscard]] inline std::uint32_t u32_of(const nlattr* attr) {
  return mnl_attr_get_payload_len(attr) >= sizeof(std::uint32_t) ? mnl_attr_get_u32(attr) : 0;
}
[[nodiscard]] inline std::string text_of(const nlattr* attr) {
  const auto bytes = bytes_of(attr);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return {text, strnlen(text, bytes.size())};
}

// The fixed header of a message; nullptr when the message is too short.
template <typename Header>
[[nodiscard]] const Header* header_of(const nlmsghdr* message) {
  return mnl_nlmsg_get_payload_len(message) >= sizeof(Header)
             ? static_cast<const Header*>(mnl_nlmsg_get_payload(message))
             : nullptr;
}

}  // namespace margay
