#pragma once
// Resources from YAML text, for tests.

#include "api/resource.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace margay::test {

using ResourcePtr = std::shared_ptr<const api::Resource>;

// One document; anything wrong with it fails the test.
inline ResourcePtr resource(const std::string& yaml) {
  auto documents = api::decode_documents(yaml);
  REQUIRE_MESSAGE(documents.size() == 1, yaml);
  REQUIRE_MESSAGE(
      documents[0].resource.has_value(),
      (documents[0].resource ? std::string() : documents[0].resource.error().text + "\n" + yaml));
  return std::make_shared<const api::Resource>(*documents[0].resource);
}

}  // namespace margay::test
