// Documents from anywhere: decoding must not crash, and what is accepted must survive being encoded
// and decoded again, as YAML and as JSON.

#include "api/resource.h"
#include "base/assert.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace api = margay::api;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes to text
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const api::Document& document : api::decode_documents(text)) {
    if (!document.resource) {
      MARGAY_ASSERT(!document.resource.error().text.empty());
      continue;
    }
    const auto yaml = api::decode_documents(api::encode_yaml(*document.resource));
    MARGAY_ASSERT(yaml.size() == 1 && yaml[0].resource);
    MARGAY_ASSERT(*yaml[0].resource == *document.resource);
    const auto json = api::decode_json(api::encode_json(*document.resource));
    MARGAY_ASSERT(json);
    MARGAY_ASSERT(*json == *document.resource);
  }
  return 0;
}
