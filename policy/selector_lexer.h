#pragma once
// Tokens of selector text, one at a time. Columns count bytes from 1. After the end it keeps
// answering kEnd; a bad character or an open quote is an error token with the reason in `text`.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace margay::policy {

enum class TokenType : std::uint8_t {
  kEnd,
  kError,
  kWord,    // a label, function or operator word
  kString,  // text holds the value without quotes and escapes
  kAnd,
  kOr,
  kNot,
  kEqual,
  kNotEqual,
  kOpenParen,
  kCloseParen,
  kOpenBrace,
  kCloseBrace,
  kComma,
};

struct Token {
  TokenType type = TokenType::kEnd;
  std::string text;
  std::size_t column = 1;
};

// How an error names a token: `"=="`, `end of text`.
[[nodiscard]] std::string describe(const Token& token);

class SelectorLexer {
 public:
  explicit SelectorLexer(std::string_view text) : text_(text) {}

  [[nodiscard]] Token next();

 private:
  [[nodiscard]] Token word();
  [[nodiscard]] Token quoted();
  [[nodiscard]] Token symbol();

  std::string_view text_;
  std::size_t at_ = 0;
};

// A character of labels: letters, digits and `_ . / -`.
[[nodiscard]] bool is_label_char(char character);

}  // namespace margay::policy
