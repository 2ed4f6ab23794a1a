#pragma once
// Reading the file of margay-bgpd: one mapping of it at a time, with errors that name file, line,
// field and what would be right. Internal to bgp/.

#include "base/edit_distance.h"
#include "base/result.h"
#include "base/strong.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace margay::bgp {

// One mapping of the file and where it stands: "peers[2].asn".
class Section {
 public:
  Section(const YAML::Node& node, std::string path, const std::string& file)
      : node_(node), path_(std::move(path)), file_(file) {}

  // A mapping (or nothing at all) with these fields only, each at most once.
  [[nodiscard]] Result<void> expect(std::initializer_list<std::string_view> fields,
                                    std::span<const std::string_view> more = {}) const {
    if (!node_.IsDefined() || node_.IsNull()) {
      return {};
    }
    if (!node_.IsMap()) {
      return wrong("", "expected a mapping");
    }
    std::set<std::string> seen;
    for (const auto& entry : node_) {
      if (!entry.first.IsScalar()) {
        return wrong_at(entry.first, "", "expected the name of a field");
      }
      const auto name = entry.first.as<std::string>();
      if (std::ranges::find(fields, name) == fields.end() &&
          std::ranges::find(more, name) == more.end()) {
        std::vector<std::string_view> known(fields);
        known.insert(known.end(), more.begin(), more.end());
        const std::string_view nearest = nearest_name(name, known);
        return wrong_at(entry.first,
                        name,
                        nearest.empty() ? std::string("unknown field")
                                        : fmt::format("unknown field, did you mean {}?", nearest));
      }
      if (!seen.insert(name).second) {
        return wrong_at(entry.first, name, "given twice");
      }
    }
    return {};
  }
  [[nodiscard]] bool has(std::string_view field) const { return get(field).IsDefined(); }
  [[nodiscard]] YAML::Node get(std::string_view field) const {
    return node_.IsDefined() && node_.IsMap() ? std::as_const(node_)[std::string(field)]
                                              : YAML::Node(YAML::NodeType::Undefined);
  }
  [[nodiscard]] Section section(std::string_view field) const {
    return {get(field), full(field), file_};
  }
  [[nodiscard]] const YAML::Node& node() const { return node_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& file() const { return file_; }

  [[nodiscard]] Failure<Error> wrong(std::string_view field, std::string_view why) const {
    const YAML::Node at = field.empty() ? node_ : get(field);
    return wrong_at(at.IsDefined() ? at : node_, field, why);
  }

  // Reads a field if it is there; the function turns its text into a value or says what was
  // expected.
  template <typename T, typename Parse>
  [[nodiscard]] Result<void> read(std::string_view field, T& into, const Parse& parse) const {
    const YAML::Node value = get(field);
    if (!value.IsDefined()) {
      return {};
    }
    if (!value.IsScalar()) {
      return wrong(field, "expected a single value");
    }
    auto parsed = parse(value.Scalar());
    if (!parsed) {
      return wrong(field, parsed.error().text);
    }
    into = std::move(*parsed);
    return {};
  }

 private:
  [[nodiscard]] std::string full(std::string_view field) const {
    return path_.empty() || field.empty() ? path_ + std::string(field)
                                          : fmt::format("{}.{}", path_, field);
  }
  [[nodiscard]] Failure<Error> wrong_at(const YAML::Node& at,
                                        std::string_view field,
                                        std::string_view why) const {
    const int line = at.IsDefined() ? at.Mark().line + 1 : 1;
    const std::string where = full(field);
    return where.empty() ? fail(Errc::kInvalid, "{}: line {}: {}", file_, line, why)
                         : fail(Errc::kInvalid, "{}: line {}: {}: {}", file_, line, where, why);
  }

  YAML::Node node_;
  std::string path_;
  const std::string& file_;
};

template <typename T>
auto number(T lowest, T highest) {
  return [lowest, highest](const std::string& text) -> Result<T> {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < lowest ||
        value > highest) {
      return fail(Errc::kInvalid, "\"{}\": expected a number from {} to {}", text, lowest, highest);
    }
    return static_cast<T>(value);
  };
}

inline Result<bool> boolean(const std::string& text) {
  if (text != "true" && text != "false") {
    return fail(Errc::kInvalid, "\"{}\": expected true or false", text);
  }
  return text == "true";
}

inline Result<Asn> asn(const std::string& text) {
  const auto value = number<std::uint32_t>(1, 4294967295U)(text);
  if (!value) {
    return fail(value.error());
  }
  return Asn(*value);
}

}  // namespace margay::bgp
