#include "cli/label_selector.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <vector>

namespace margay::cli {

namespace {

using policy::Selector;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string_view::npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char character) {
    return std::isalnum(character) != 0 || character == '-' || character == '_' || character == '.';
  });
}

// "rack=r1", "rack==r1", "rack!=r1", "rack" or "!rack".
std::optional<Selector> parse_term(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    const bool absent = text.starts_with('!');
    const std::string_view key = trimmed(absent ? text.substr(1) : text);
    if (!policy::is_label(key)) {
      return std::nullopt;
    }
    return absent ? Selector::has(key).negation() : Selector::has(key);
  }
  const bool differs = equals > 0 && text[equals - 1] == '!';
  const bool doubled = !differs && text.substr(equals).starts_with("==");
  const std::string_view key = trimmed(text.substr(0, differs ? equals - 1 : equals));
  const std::string_view value = trimmed(text.substr(equals + (doubled ? 2 : 1)));
  if (!policy::is_label(key) || !is_value(value)) {
    return std::nullopt;
  }
  const Selector same = Selector::equals(key, value);
  return differs ? same.negation() : same;
}

std::optional<Selector> parse_terms(std::string_view text) {
  std::vector<Selector> terms;
  while (true) {
    const std::size_t comma = text.find(',');
    const auto term = parse_term(trimmed(text.substr(0, comma)));
    if (!term) {
      return std::nullopt;
    }
    terms.push_back(*term);
    if (comma == std::string_view::npos) {
      return Selector::conjunction(terms);
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<Selector> parse_label_selector(std::string_view text) {
  auto selector = Selector::parse(text);
  if (!selector) {
    if (auto terms = parse_terms(text)) {
      return std::move(*terms);
    }
  }
  return selector;
}

}  // namespace margay::cli
