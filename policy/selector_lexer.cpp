#include "policy/selector_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace margay::policy {

namespace {

struct Symbol {
  std::string_view text;
  TokenType type;
};

// Longer symbols stand before their beginnings.
constexpr auto kSymbols = std::to_array<Symbol>({
    {"&&", TokenType::kAnd},
    {"||", TokenType::kOr},
    {"==", TokenType::kEqual},
    {"!=", TokenType::kNotEqual},
    {"!", TokenType::kNot},
    {"(", TokenType::kOpenParen},
    {")", TokenType::kCloseParen},
    {"{", TokenType::kOpenBrace},
    {"}", TokenType::kCloseBrace},
    {",", TokenType::kComma},
});

bool is_space(char character) {
  return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

std::string printable(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte >= 0x20 && byte < 0x7f ? fmt::format("\"{}\"", character)
                                     : fmt::format("byte 0x{:02x}", byte);
}

}  // namespace

bool is_label_char(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '_' || character == '.' ||
         character == '/' || character == '-';
}

std::string describe(const Token& token) {
  constexpr std::size_t kShown = 40;
  switch (token.type) {
    case TokenType::kEnd:
      return "end of text";
    case TokenType::kError:
      return token.text;
    case TokenType::kString:
      return "a quoted text";
    default:
      return fmt::format(
          "\"{}{}\"", token.text.substr(0, kShown), token.text.size() > kShown ? "..." : "");
  }
}

Token SelectorLexer::next() {
  while (at_ < text_.size() && is_space(text_[at_])) {
    ++at_;
  }
  if (at_ == text_.size()) {
    return {TokenType::kEnd, {}, at_ + 1};
  }
  if (is_label_char(text_[at_])) {
    return word();
  }
  if (text_[at_] == '\'' || text_[at_] == '"') {
    return quoted();
  }
  return symbol();
}

Token SelectorLexer::word() {
  const std::size_t start = at_;
  while (at_ < text_.size() && is_label_char(text_[at_])) {
    ++at_;
  }
  return {TokenType::kWord, std::string(text_.substr(start, at_ - start)), start + 1};
}

// A backslash escapes itself and both quotes; before anything else it stands for itself, as Calico
// has no escapes.
Token SelectorLexer::quoted() {
  const std::size_t start = at_;
  const char quote = text_[at_++];
  std::string value;
  while (at_ < text_.size() && text_[at_] != quote) {
    const char following = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (text_[at_] == '\\' && (following == '\\' || following == '\'' || following == '"')) {
      ++at_;
    }
    value += text_[at_++];
  }
  if (at_ == text_.size()) {
    return {TokenType::kError, "a quoted text without its closing quote", start + 1};
  }
  ++at_;
  return {TokenType::kString, std::move(value), start + 1};
}

Token SelectorLexer::symbol() {
  const std::string_view rest = text_.substr(at_);
  const auto* const found = std::ranges::find_if(
      kSymbols, [&rest](const Symbol& known) { return rest.starts_with(known.text); });
  const std::size_t column = at_ + 1;
  if (found == kSymbols.end()) {
    return {TokenType::kError, printable(text_[at_]), column};
  }
  at_ += found->text.size();
  return {found->type, std::string(found->text), column};
}

}  // namespace margay::policy
