#include "base/strong.h"

#include <algorithm>
#include <cctype>

namespace margay {

Result<IfName> IfName::parse(std::string_view text) {
  constexpr std::size_t kMaxBytes = 15;  // IFNAMSIZ - 1
  const auto bad = [](char c) {
    return c == '/' || c == ':' || std::isspace(static_cast<unsigned char>(c)) != 0;
  };
  if (text.empty() || text.size() > kMaxBytes || text == "." || text == ".." ||
      std::ranges::any_of(text, bad)) {
    return fail(Errc::kInvalid,
                "interface name \"{}\": expected 1 to 15 bytes without '/', ':' or white space",
                text);
  }
  IfName name;
  name.text_ = text;
  return name;
}

namespace {

bool is_dns_part(std::string_view text) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && std::ranges::all_of(text, good) && text.front() != '-' &&
         text.back() != '-';
}

}  // namespace

bool is_dns_label(std::string_view text) {
  constexpr std::size_t kMaxBytes = 63;
  return text.size() <= kMaxBytes && is_dns_part(text);
}

bool is_dns_subdomain(std::string_view text) {
  constexpr std::size_t kMaxBytes = 253;
  if (text.empty() || text.size() > kMaxBytes) {
    return false;
  }
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_dns_part(text.substr(0, dot))) {
      return false;
    }
    if (dot == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(dot + 1);
  }
}

Result<NodeName> NodeName::parse(std::string_view text) {
  if (!is_dns_subdomain(text)) {
    return fail(
        Errc::kInvalid,
        "node name \"{}\": expected lower-case letters, digits, '-' and '.', at most 253 bytes",
        text);
  }
  NodeName name;
  name.text_ = text;
  return name;
}

}  // namespace margay
