#include "bgp/bird/reply.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace margay::bgp::bird {

namespace {

constexpr std::size_t kCodeDigits = 4;
constexpr unsigned kFirstError = 8000;

bool has_code(std::string_view text) {
  return text.size() > kCodeDigits &&
         std::all_of(
             text.begin(), text.begin() + kCodeDigits, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool Reply::failed() const {
  return std::ranges::any_of(lines, [](const ReplyLine& line) { return line.code >= kFirstError; });
}

std::string Reply::failure() const {
  std::string out;
  for (const ReplyLine& line : lines) {
    if (line.code >= kFirstError) {
      out += (out.empty() ? "" : "; ") + line.text;
    }
  }
  return out;
}

bool ReplyReader::feed(std::string_view bytes) {
  while (!bytes.empty() && !complete_ && !broken_) {
    const auto end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial_ += bytes;
      break;
    }
    if (partial_.empty()) {
      line(bytes.substr(0, end));
    } else {
      partial_ += bytes.substr(0, end);
      line(std::exchange(partial_, {}));
    }
    bytes.remove_prefix(end + 1);
  }
  return complete_;
}

void ReplyReader::line(std::string_view text) {
  if (text.starts_with('+')) {
    return;  // of the log, by itself
  }
  if (text.starts_with(' ')) {
    broken_ = reply_.lines.empty();
    if (!broken_) {
      reply_.lines.push_back({reply_.lines.back().code, std::string(text.substr(1))});
    }
    return;
  }
  if (!has_code(text)) {
    broken_ = true;
    return;
  }
  unsigned code = 0;
  std::from_chars(text.data(), text.data() + kCodeDigits, code);
  const char mark = text[kCodeDigits];
  broken_ = mark != '-' && mark != ' ';
  complete_ = mark == ' ';
  reply_.lines.push_back({code, std::string(text.substr(kCodeDigits + 1))});
}

Reply ReplyReader::take() {
  complete_ = false;
  return std::exchange(reply_, {});
}

}  // namespace margay::bgp::bird
