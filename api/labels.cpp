#include "api/labels.h"

#include <fmt/format.h>

#include <cctype>

namespace margay::api {

namespace {

constexpr std::size_t kMaxLabelValue = 63;
constexpr std::size_t kMaxAnnotationBytes = 256U << 10U;
constexpr const char* kKeyRule = "expected [prefix/]name of letters, digits, '-', '_' and '.'";

bool is_label_part(std::string_view text) {
  const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const auto inner = [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= kMaxLabelValue && alphanumeric(text.front()) &&
         alphanumeric(text.back()) && std::ranges::all_of(text, inner);
}

}  // namespace

bool is_label_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) {
    return is_label_part(key);
  }
  return is_dns_subdomain(key.substr(0, slash)) && is_label_part(key.substr(slash + 1));
}

bool is_label_value(std::string_view value) {
  return value.empty() || is_label_part(value);
}

void check_labels(Reader& visit, const std::string& name, const Labels& labels) {
  for (const auto& [key, value] : labels) {
    if (!is_label_key(key)) {
      visit.fail(name, shown(json::value(key)) + ": " + kKeyRule);
    } else if (!is_label_value(value)) {
      visit.fail(
          fmt::format("{}.{}", name, key),
          shown(json::value(value)) + ": expected at most 63 letters, digits, '-', '_' and '.'");
    }
  }
}

void check_annotations(Reader& visit, const std::string& name, const Labels& annotations) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : annotations) {
    std::string lower = key;
    std::ranges::transform(
        lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!is_label_key(lower)) {
      visit.fail(name, shown(json::value(key)) + ": " + kKeyRule);
    }
    bytes += key.size() + value.size();
  }
  if (bytes > kMaxAnnotationBytes) {
    visit.fail(name, std::to_string(bytes) + " bytes: at most 262144");
  }
}

}  // namespace margay::api
