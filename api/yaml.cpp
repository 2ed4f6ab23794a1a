#include "api/yaml.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <optional>

namespace margay::api {

namespace json = boost::json;

namespace {

constexpr unsigned kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 1'000'000;

// RFC 3629: how many bytes the character at the start of `text` takes; 0 when it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto tail = [&byte](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80U) {
    return 1;
  }
  if (lead >= 0xC2U && lead < 0xE0U) {
    return tail(1) ? 2 : 0;
  }
  if (lead >= 0xE0U && lead < 0xF0U) {
    const bool overlong = lead == 0xE0U && byte(1) < 0xA0U;
    const bool surrogate = lead == 0xEDU && byte(1) >= 0xA0U;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0U && lead < 0xF5U) {
    const bool overlong = lead == 0xF0U && byte(1) < 0x90U;
    const bool beyond = lead == 0xF4U && byte(1) >= 0x90U;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// What is stored as JSON must be UTF-8; YAML escapes can make texts that are not.
bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

class Converter {
 public:
  explicit Converter(unsigned line_offset) : line_offset_(line_offset) {}

  // NOLINTNEXTLINE(misc-no-recursion): bounded by kMaxDepth
  json::value convert(const YAML::Node& node, unsigned depth) {
    if (depth > kMaxDepth) {
      return fail_at(node, "nested deeper than 64");
    }
    if (++nodes_ > kMaxNodes) {
      return fail_at(node, "more than a million nodes");
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        return scalar(node);
      case YAML::NodeType::Sequence:
        return sequence(node, depth);
      case YAML::NodeType::Map:
        return mapping(node, depth);
      case YAML::NodeType::Null:
      case YAML::NodeType::Undefined:
        return nullptr;
    }
    return nullptr;
  }

  std::optional<Error> error;

 private:
  json::value fail_at(const YAML::Node& node, const std::string& what) {
    if (!error) {
      const int line = node.Mark().line;
      error = fail(Errc::kInvalid,
                   "line {}: {}",
                   static_cast<unsigned>(line < 0 ? 0 : line) + 1 + line_offset_,
                   what)
                  .error;
    }
    return nullptr;
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by kMaxDepth
  json::value sequence(const YAML::Node& node, unsigned depth) {
    json::array out;
    for (const YAML::Node& item : node) {
      out.push_back(convert(item, depth + 1));
      if (error) {
        break;
      }
    }
    return out;
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by kMaxDepth
  json::value mapping(const YAML::Node& node, unsigned depth) {
    json::object out;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        return fail_at(entry.first, "a key that is no text");
      }
      const std::string& key = entry.first.Scalar();
      if (!is_utf8(key)) {
        return fail_at(entry.first, "a key that is not UTF-8");
      }
      if (out.contains(key)) {
        return fail_at(entry.first, "\"" + key + "\" is given twice");
      }
      json::value value = convert(entry.second, depth + 1);
      if (error) {
        break;
      }
      out.emplace(key, std::move(value));
    }
    return out;
  }

  json::value scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    if (!is_utf8(text)) {
      return fail_at(node, "a text that is not UTF-8");
    }
    if (node.Tag() == "!") {  // quoted
      return json::value(text);
    }
    if (text == "null" || text == "~" || text.empty()) {
      return nullptr;
    }
    if (text == "true" || text == "True" || text == "TRUE") {
      return true;
    }
    if (text == "false" || text == "False" || text == "FALSE") {
      return false;
    }
    const char* end = text.data() + text.size();
    std::int64_t integer = 0;
    const char* digits = text.data() + (text.front() == '+' ? 1 : 0);
    if (const auto [rest, errc] = std::from_chars(digits, end, integer);
        errc == std::errc{} && rest == end) {
      return integer;
    }
    double real = 0;
    const bool numeric = text.find_first_of("0123456789") != std::string::npos;
    if (const auto [rest, errc] = std::from_chars(digits, end, real);
        numeric && errc == std::errc{} && rest == end && std::isfinite(real)) {
      return real;
    }
    return json::value(text);
  }

  unsigned line_offset_;
  std::size_t nodes_ = 0;
};

// A plain scalar would read back as something else than a string.
bool needs_quotes(std::string_view text) {
  if (text.empty() || text.find_first_of("\n\t\"\\") != std::string_view::npos) {
    return true;
  }
  static constexpr std::string_view kWords[] = {
      "y",     "Y",     "n",    "N",    "yes",  "Yes", "YES",  "no",   "No",   "NO",
      "on",    "On",    "ON",   "off",  "Off",  "OFF", "true", "True", "TRUE", "false",
      "False", "FALSE", "null", "Null", "NULL", "~",   ".inf", ".nan"};
  for (const std::string_view word : kWords) {
    if (text == word) {
      return true;
    }
  }
  const bool number_like =
      text.find_first_not_of("0123456789.+-eExXoO_:abcdefABCDEF") == std::string_view::npos;
  return number_like;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the value, which decoding bounds
void emit(YAML::Emitter& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::object:
      out << (value.get_object().empty() ? YAML::Flow : YAML::Block) << YAML::BeginMap;
      for (const auto& [key, member] : value.get_object()) {
        const std::string name(key);
        out << YAML::Key;
        if (needs_quotes(name)) {
          out << YAML::DoubleQuoted;
        }
        out << name << YAML::Value;
        emit(out, member);
      }
      out << YAML::EndMap;
      return;
    case json::kind::array:
      out << (value.get_array().empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
      for (const json::value& item : value.get_array()) {
        emit(out, item);
      }
      out << YAML::EndSeq;
      return;
    case json::kind::string: {
      const std::string text(value.get_string());
      if (needs_quotes(text)) {
        out << YAML::DoubleQuoted;
      }
      out << text;
      return;
    }
    case json::kind::bool_:
      out << (value.get_bool() ? "true" : "false");
      return;
    case json::kind::null:
      out << YAML::Null;
      return;
    case json::kind::int64:
      out << value.get_int64();
      return;
    case json::kind::uint64:
      out << value.get_uint64();
      return;
    case json::kind::double_:
      out << value.get_double();
      return;
  }
}

}  // namespace

Result<json::value> parse_yaml(std::string_view text, unsigned line_offset) {
  try {
    const YAML::Node node = YAML::Load(std::string(text));
    Converter converter(line_offset);
    json::value value = converter.convert(node, 0);
    if (converter.error) {
      return fail(*converter.error);
    }
    return value;
  } catch (const YAML::Exception& error) {
    const int line = error.mark.line;
    return fail(Errc::kInvalid,
                "line {}: {}",
                static_cast<unsigned>(line < 0 ? 0 : line) + 1 + line_offset,
                error.msg);
  }
}

std::string print_yaml(const json::value& value) {
  YAML::Emitter out;
  out.SetMapFormat(YAML::Block);
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

// A line that begins with "---" always starts a document, also inside a block scalar (YAML 1.2
// section 9.1.2).
std::vector<YamlPart> split_yaml(std::string_view text) {
  std::vector<YamlPart> parts;
  std::size_t begin = 0;
  std::size_t at = 0;
  unsigned line = 0;
  unsigned begin_line = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view content = text.substr(at, end - at);
    const bool marker = content.starts_with("---") && (content.size() == 3 || content[3] == ' ' ||
                                                       content[3] == '\t' || content[3] == '\r');
    const bool finish = content.starts_with("...") &&
                        content.find_first_not_of(" \t\r", 3) == std::string_view::npos;
    if (marker || finish) {
      parts.push_back({text.substr(begin, at - begin), begin_line});
      // What follows the marker on its line belongs to the document.
      begin = marker ? at + 3 : std::min(end + 1, text.size());
      begin_line = marker ? line : line + 1;
    }
    at = end + 1;
    ++line;
  }
  parts.push_back({text.substr(std::min(begin, text.size())), begin_line});
  return parts;
}

}  // namespace margay::api
