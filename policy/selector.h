#pragma once
// Selector: a boolean expression over labels, as policy is written in.
//
//   app == 'web' && tier in {'a', 'b'} || !has(quarantine)
//
// Everything Calico accepts means the same here; newlines and the escapes \\ \' \" inside quotes
// are ours. A label that is absent makes `==`, `in`, `contains`, `starts with` and `ends with`
// false,
// `!=` and `not in` true.
//
// The canonical text is the identity: negations are pushed to the leaves, groups are flattened,
// operands and sets are sorted without duplicates, so that spellings of one meaning compare equal
// and share one compiled form and one kernel set. parse(text()) gives the same selector again.
// Copies share the compiled form, which never changes; any thread may read it.

#include "api/metadata.h"
#include "base/result.h"

#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace margay::policy {

inline constexpr std::size_t kMaxSelectorBytes = 65'536;
inline constexpr std::size_t kMaxSelectorDepth = 64;       // nested parentheses
inline constexpr std::size_t kMaxSelectorOperands = 4096;  // tests, and values in sets
inline constexpr std::size_t kMaxLabelBytes = 512;

// Labels as a selector sees them: an item's own, then those it inherits; the first that has a key
// wins. Refers to the maps, copies nothing.
class LabelView {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a map of labels is a view of itself
  LabelView(const api::Labels& own) : own_(&own) {}
  LabelView(const api::Labels& own, std::span<const api::Labels* const> inherited)
      : own_(&own), inherited_(inherited) {}

  [[nodiscard]] const std::string* find(const std::string& key) const;

 private:
  const api::Labels* own_;
  std::span<const api::Labels* const> inherited_;
};

// What every match of a selector must have for one label.
struct LabelRestriction {
  bool present = false;
  bool absent = false;                          // with `present`: the selector matches nothing
  std::optional<std::set<std::string>> values;  // one of these; implies present
  bool operator==(const LabelRestriction&) const = default;
};
using LabelRestrictions = std::map<std::string, LabelRestriction>;

class Selector {
 public:
  Selector();  // all()

  // Blank means all(). Errors: `column 9: expected an operator (...), found "="`.
  static Result<Selector> parse(std::string_view text);

  // Building blocks of the rule model. Keys must be labels (is_label).
  static Selector has(std::string_view key);
  static Selector in(std::string_view key, std::span<const std::string> values);
  static Selector equals(std::string_view key, std::string_view value);
  static Selector conjunction(std::span<const Selector> terms);
  static Selector disjunction(std::span<const Selector> terms);
  [[nodiscard]] Selector negation() const;
  // The same expression with `prefix` before every key; global() is kept as it is.
  [[nodiscard]] Selector with_key_prefix(std::string_view prefix) const;

  [[nodiscard]] bool matches(const LabelView& labels) const;

  [[nodiscard]] const std::string& text() const;  // canonical
  [[nodiscard]] bool is_all() const;
  // Holds global() somewhere, which Calico takes only alone and only in namespaceSelector of rules.
  [[nodiscard]] bool uses_global() const;
  [[nodiscard]] bool is_global() const;
  [[nodiscard]] const LabelRestrictions& restrictions() const;
  // Every label the result depends on, sorted.
  [[nodiscard]] std::span<const std::string> keys() const;

  bool operator==(const Selector& other) const { return text() == other.text(); }
  std::strong_ordering operator<=>(const Selector& other) const { return text() <=> other.text(); }

 private:
  struct Compiled;
  friend class SelectorBuilder;
  explicit Selector(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}

  std::shared_ptr<const Compiled> compiled_;
};

// For selectors that were checked when they were stored: one that cannot be parsed selects nothing.
[[nodiscard]] bool selects(std::string_view selector, const LabelView& labels);

// Letters, digits and `_ . / -`, 1 to kMaxLabelBytes of them.
[[nodiscard]] bool is_label(std::string_view text);

// The label that holds an endpoint's namespace; global() means that it is absent.
inline constexpr std::string_view kNamespaceLabel = "projectcalico.org/namespace";
inline constexpr std::string_view kOrchestratorLabel = "projectcalico.org/orchestrator";
inline constexpr std::string_view kServiceAccountLabel = "projectcalico.org/serviceaccount";

}  // namespace margay::policy

template <>
struct std::hash<margay::policy::Selector> {
  std::size_t operator()(const margay::policy::Selector& selector) const noexcept {
    return std::hash<std::string>{}(selector.text());
  }
};
