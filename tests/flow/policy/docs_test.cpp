// docs/policy.md: its documents are valid, and its tests hold.

#include "api/policy_tests.h"
#include "api/resource.h"
#include "policy/expectations.h"
#include "policy/validate.h"
#include "policy/world.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace margay {
namespace {

struct Block {
  std::string section;  // empty: before the first
  std::string text;
};

// The fenced blocks of YAML, with the heading they stand under.
std::vector<Block> blocks(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::vector<Block> out;
  std::string section;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "```yaml") {
      inside = true;
      out.push_back({section, {}});
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      out.back().text += line + "\n";
    } else if (line.starts_with("## ")) {
      section = line.substr(3);
    }
  }
  return out;
}

using Objects = std::map<api::ResourceKey, api::Resource>;

void take(const std::string& text, Objects& objects) {
  for (const api::Document& document : api::decode_documents(text)) {
    REQUIRE_MESSAGE(document.resource, (document.resource ? "" : document.resource.error().text));
    const auto valid = policy::validate(*document.resource);
    REQUIRE_MESSAGE(valid, (valid ? "" : valid.error().text));
    objects.insert_or_assign(document.resource->key(), *document.resource);
  }
}

unsigned run(const std::string& text, const Objects& objects) {
  policy::World world;
  for (const auto& [key, resource] : objects) {
    REQUIRE(policy::add(resource, world));
  }
  const policy::Evaluator evaluator(std::move(world));
  const auto tests = api::decode_policy_tests(text);
  REQUIRE_MESSAGE(tests, (tests ? "" : tests.error().text));
  for (const api::PolicyTest& test : *tests) {
    CAPTURE(test.name);
    const policy::TestResult result = policy::run_test(test, evaluator);
    CHECK(result.error == "");
    CHECK(result.checked > 0);
    for (const policy::Mismatch& mismatch : result.mismatches) {
      FAIL_CHECK(mismatch.from, " -> ", mismatch.to, " port ", mismatch.flow.destination_port);
    }
  }
  return static_cast<unsigned>(tests->size());
}

}  // namespace

TEST_SUITE("flow.policy.docs") {
  TEST_CASE("the examples of docs/policy.md are valid and do what the page says") {
    Objects base;
    Objects objects;
    std::string section;
    unsigned tests = 0;
    for (const Block& block : blocks(std::string(MARGAY_SOURCE_DIR) + "/docs/policy.md")) {
      CAPTURE(block.section);
      if (block.section != section) {
        section = block.section;
        objects = base;
      }
      if (block.text.starts_with("tests:")) {
        tests += run(block.text, objects);
      } else {
        take(block.text, objects);
        base = block.section.empty() ? objects : base;
      }
    }
    CHECK(tests >= 18);
  }
}

}  // namespace margay
