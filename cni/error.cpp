#include "cni/error.h"

#include <algorithm>

namespace margay::cni {

bool is_supported(std::string_view version) {
  return std::ranges::find(kVersions, version) != kVersions.end();
}

std::string version_list() {
  std::string list;
  for (const std::string_view version : kVersions) {
    list += list.empty() ? "" : ", ";
    list += version;
  }
  return list;
}

std::string quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr unsigned char kFirstPrintable = 0x20;
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < kFirstPrintable) {
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xFU];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string error_json(const CniError& error, std::string_view version) {
  std::string out = "{\"cniVersion\":";
  out += quoted(is_supported(version) ? version : kVersions.back());
  out += ",\"code\":" + std::to_string(static_cast<int>(error.code));
  out += ",\"msg\":" + quoted(error.msg);
  if (!error.details.empty()) {
    out += ",\"details\":" + quoted(error.details);
  }
  return out + "}\n";
}

}  // namespace margay::cni
