// Selector text from anywhere: parsing must not crash, and what parses must print to text that
// parses to the same.

#include "base/assert.h"
#include "policy/selector.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using margay::policy::Selector;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes to text
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto selector = Selector::parse(text);
  if (!selector) {
    MARGAY_ASSERT(!selector.error().text.empty());
    return 0;
  }
  const auto again = Selector::parse(selector->text());
  MARGAY_ASSERT(again);
  MARGAY_ASSERT(again->text() == selector->text());
  const margay::api::Labels labels{{"a", "b"}, {"app", "web"}};
  const bool matches = selector->matches(labels);
  MARGAY_ASSERT(again->matches(labels) == matches);
  MARGAY_ASSERT(selector->negation().matches(labels) != matches);
  return 0;
}
