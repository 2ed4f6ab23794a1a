#include "api/exact_json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>

#include <charconv>
#include <cstdint>
#include <string>
#include <utility>

namespace margay::api {

namespace json = boost::json;

namespace {

using Errors = boost::system::error_code;

// What json::basic_parser tells of a text, as a value.
class ValueHandler {
 public:
  // Names and meaning are those of the parser.
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit ValueHandler(json::storage_ptr memory) { stack_.reset(std::move(memory)); }

  json::value release() { return stack_.release(); }

  static bool on_document_begin(Errors& /*errc*/) { return true; }
  static bool on_document_end(Errors& /*errc*/) { return true; }
  static bool on_object_begin(Errors& /*errc*/) { return true; }
  static bool on_array_begin(Errors& /*errc*/) { return true; }
  static bool on_comment_part(json::string_view /*part*/, Errors& /*errc*/) { return true; }
  static bool on_comment(json::string_view /*part*/, Errors& /*errc*/) { return true; }
  bool on_object_end(std::size_t count, Errors& /*errc*/) {
    stack_.push_object(count);
    return true;
  }
  bool on_array_end(std::size_t count, Errors& /*errc*/) {
    stack_.push_array(count);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t /*size*/, Errors& /*errc*/) {
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view last, std::size_t /*size*/, Errors& /*errc*/) {
    stack_.push_key(last);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t /*size*/, Errors& /*errc*/) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view last, std::size_t /*size*/, Errors& /*errc*/) {
    stack_.push_string(last);
    return true;
  }
  bool on_number_part(json::string_view part, Errors& /*errc*/) {
    number_.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t number, json::string_view /*last*/, Errors& /*errc*/) {
    number_.clear();
    stack_.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view /*last*/, Errors& /*errc*/) {
    number_.clear();
    stack_.push_uint64(number);
    return true;
  }
  bool on_double(double about, json::string_view last, Errors& /*errc*/) {
    number_.append(last.data(), last.size());
    double exact = about;
    const char* const end = number_.data() + number_.size();
    const auto [rest, failed] = std::from_chars(number_.data(), end, exact);
    stack_.push_double(failed == std::errc{} && rest == end ? exact : about);
    number_.clear();
    return true;
  }
  bool on_bool(bool truth, Errors& /*errc*/) {
    stack_.push_bool(truth);
    return true;
  }
  bool on_null(Errors& /*errc*/) {
    stack_.push_null();
    return true;
  }

 private:
  json::value_stack stack_;
  std::string number_;  // of a number that is being read
};

}  // namespace

json::value parse_exactly(std::string_view text, Errors& errc, json::storage_ptr memory) {
  json::parse_options options;
  options.max_depth = 64;
  json::basic_parser<ValueHandler> parser(options, std::move(memory));
  const std::size_t read = parser.write_some(false, text.data(), text.size(), errc);
  if (!errc && read < text.size()) {
    errc = json::make_error_code(json::error::extra_data);
  }
  return errc ? json::value() : parser.handler().release();
}

}  // namespace margay::api
