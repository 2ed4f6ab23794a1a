// docs/cni.md: its configurations work, and its results and errors are what comes out.

#include "tests/functional/cni/cni_world.h"
#include "tests/support/cni_spec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

namespace json = boost::json;

// A fenced block "```json KIND" and the heading it stands under.
struct Block {
  std::string section;
  std::string kind;  // list, capabilities, result, error
  json::value value;
};

std::vector<Block> blocks_of(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::vector<Block> out;
  std::string section;
  std::string kind;
  std::string text;
  const std::string fence = "```json ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(fence)) {
      kind = line.substr(fence.size());
      text.clear();
    } else if (line == "```" && !kind.empty()) {
      boost::system::error_code errc;
      Block block{section, kind, json::parse(text, errc)};
      CAPTURE(text);
      REQUIRE_FALSE(errc);
      out.push_back(std::move(block));
      kind.clear();
    } else if (!kind.empty()) {
      text += line + "\n";
    } else if (line.starts_with("## ")) {
      section = line.substr(3);
    }
  }
  return out;
}

// Block `kind` that belongs to the list at this place: before the next list.
const Block* beside(const std::vector<Block>& all, std::size_t list, const std::string& kind) {
  for (std::size_t at = list + 1; at < all.size() && all[at].kind != "list"; ++at) {
    if (all[at].kind == kind && all[at].section == all[list].section) {
      return &all[at];
    }
  }
  return nullptr;
}

}  // namespace

TEST_SUITE_BEGIN("functional.cni.docs");

TEST_CASE("every configuration of docs/cni.md works as the page says") {
  const std::vector<Block> all = blocks_of(MARGAY_SOURCE_DIR "/docs/cni.md");
  CniWorld world("ft-cni-docs");
  unsigned lists = 0;
  unsigned answers = 0;
  for (std::size_t at = 0; at < all.size(); ++at) {
    if (all[at].kind != "list") {
      continue;
    }
    ++lists;
    CAPTURE(all[at].section);
    CniList list(world.node(), json::serialize(all[at].value));
    CniAttachment box{.container_id = "box", .netns = world.make_container()};
    if (const Block* offered = beside(all, at, "capabilities")) {
      box.capabilities = offered->value.as_object();
    }
    const CniOutcome added = list.add(box);
    if (const Block* error = beside(all, at, "error")) {
      ++answers;
      CHECK_FALSE(added.ok());
      CHECK(json::serialize(json::parse(added.out())) == json::serialize(error->value));
      CHECK(joined(test::wrong_in_error(added.out(), list.version())) == "");
      CHECK(list.del(box).ok());
      continue;
    }
    if (!added.ok() && added.text().find("this kernel lacks") != std::string::npos) {
      std::printf("skipped: %s of docs/cni.md: %s\n",
                  all[at].section.c_str(),
                  added.text().substr(0, added.text().find('\n')).c_str());
      CHECK(list.del(box).ok());
      continue;
    }
    REQUIRE_MESSAGE(added.ok(), added.text());
    CHECK(joined(test::wrong_in_result(
              json::serialize(added.result),
              {.version = list.version(), .ifname = "eth0", .netns = box.netns})) == "");
    if (const Block* result = beside(all, at, "result")) {
      ++answers;
      json::value shown = result->value;
      shown.as_object()["interfaces"].as_array()[1].as_object()["sandbox"] = box.netns;
      CHECK(json::serialize(added.result) == json::serialize(shown));
    }
    const CniOutcome checked = list.check(box);
    CHECK_MESSAGE(is_right(checked), checked.text());
    CHECK(list.del(box).ok());
    world.end_container(box.netns);
  }
  CHECK(lists >= 5);
  CHECK(answers >= 2);
}

TEST_SUITE_END();

}  // namespace margay::lab
