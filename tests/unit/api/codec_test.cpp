// Documents that are refused, with their errors, and documents that are taken, with the object they
// become, stand in tests/golden/api; MARGAY_UPDATE_GOLDEN=1 rewrites the expectations.

#include "api/resource.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace api = margay::api;
namespace fs = std::filesystem;

namespace {

std::string read(const std::string& name) {
  std::ifstream file(fs::path(MARGAY_SOURCE_DIR) / "tests/golden/api" / name, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  REQUIRE(!text.str().empty());
  return text.str();
}

void check_golden(const std::string& name, const std::string& text) {
  if (std::getenv("MARGAY_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(fs::path(MARGAY_SOURCE_DIR) / "tests/golden/api" / name, std::ios::binary)
        << text;
  }
  CHECK(text == read(name));
}

std::string only_error(const std::string& text) {
  const std::vector<api::Document> documents = api::decode_documents(text);
  REQUIRE(documents.size() == 1);
  return documents[0].resource ? "accepted" : documents[0].resource.error().text;
}

constexpr const char* kHead =
    "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: x}\n";

}  // namespace

TEST_SUITE("api.codec") {
  TEST_CASE("each refused document has an error that names path, value and what is right") {
    std::string errors;
    for (const api::Document& document : api::decode_documents(read("rejected.yaml"))) {
      errors += document.resource
                    ? "document " + std::to_string(document.number) + " was accepted\n"
                    : document.resource.error().text + "\n";
    }
    CHECK(errors.find("was accepted") == std::string::npos);
    check_golden("rejected.expected", errors);
  }

  TEST_CASE("accepted documents show their defaults and survive every round trip") {
    std::string canonical;
    std::set<api::Kind> kinds;
    for (const api::Document& document : api::decode_documents(read("accepted.yaml"))) {
      CAPTURE(document.number);
      REQUIRE_MESSAGE(document.resource,
                      (document.resource ? std::string() : document.resource.error().text));
      const api::Resource& resource = *document.resource;
      kinds.insert(resource.kind());
      const std::string yaml = api::encode_yaml(resource);
      const auto from_yaml = api::decode_documents(yaml);
      REQUIRE(from_yaml.size() == 1);
      REQUIRE_MESSAGE(from_yaml[0].resource,
                      (from_yaml[0].resource ? yaml : yaml + from_yaml[0].resource.error().text));
      CHECK(*from_yaml[0].resource == resource);
      const auto from_json = api::decode_json(api::encode_json(resource));
      REQUIRE(from_json);
      CHECK(*from_json == resource);
      const auto json_is_yaml = api::decode_documents(api::encode_json(resource));
      REQUIRE(json_is_yaml.size() == 1);
      REQUIRE(json_is_yaml[0].resource);
      CHECK(*json_is_yaml[0].resource == resource);
      canonical += yaml + "---\n";
    }
    CHECK(kinds.size() >= 13);
    check_golden("accepted.expected", canonical);
  }

  TEST_CASE("bounds of counts and sizes") {
    const auto rules = [](std::size_t count) {
      std::string text = std::string(kHead) + "spec: {ingress: [";
      for (std::size_t i = 0; i < count; ++i) {
        text += "{action: Allow}, ";
      }
      return text + "]}\n";
    };
    CHECK(only_error(rules(1024)) == "accepted");
    CHECK(only_error(rules(1025)) == "document 1: spec.ingress: 1025 rules: at most 1024");

    const auto nets = [](std::size_t count) {
      std::string text = std::string(kHead) + "spec: {ingress: [{action: Allow, source: {nets: [";
      for (std::size_t i = 0; i < count; ++i) {
        text += "10.0." + std::to_string(i % 256) + ".0/24, ";
      }
      return text + "]}}]}\n";
    };
    CHECK(only_error(nets(256)) == "accepted");
    CHECK(only_error(nets(257)) ==
          "document 1: spec.ingress[0].source.nets: 257 networks: at most 256");
  }

  TEST_CASE("hostile nesting ends in an error") {
    CHECK(only_error(std::string(100'000, '[')).find("document 1") == 0);
    CHECK(only_error(std::string(100'000, '{')).find("document 1") == 0);
    CHECK_FALSE(api::decode_json(std::string(100'000, '[')));
  }

  TEST_CASE("texts that are not UTF-8 are refused, as they could not be read back from a store") {
    const std::string why = "document 1, line 4: a text that is not UTF-8";
    for (const char* bytes : {"\xC2", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
      CHECK(only_error(std::string(kHead) + "spec: {selector: \"a" + bytes + "b\"}\n") == why);
    }
    CHECK(only_error(std::string(kHead) + "spec: {selector: \"\u00e9\xE2\x82\xAC\"}\n") ==
          "accepted");
  }

  TEST_CASE("a syntax error costs its document, the others stand") {
    const auto documents = api::decode_documents(std::string(kHead) + "---\na: [\n---\n" + kHead);
    REQUIRE(documents.size() == 3);
    CHECK(documents[0].resource);
    CHECK_FALSE(documents[1].resource);
    CHECK(documents[1].number == 2);
    CHECK(documents[2].resource);
    CHECK(documents[2].number == 3);
  }

  TEST_CASE("an order is the same number after it was stored") {
    std::minstd_rand random(7);
    std::uniform_real_distribution<double> orders(-1e6, 1e6);
    std::vector<double> all{0.1, 100.5, -4e37, 1e-300, 1.7976931348623157e308, 5e-324, 1e22};
    for (int i = 0; i < 1000; ++i) {
      all.push_back(orders(random));
    }
    for (const double order : all) {
      api::Resource resource;
      resource.metadata.name = "a";
      resource.spec = api::Tier{.order = order};
      const auto stored = api::decode_json(api::encode_json(resource));
      REQUIRE(stored);
      CHECK(std::get<api::Tier>(stored->spec).order == order);
    }
  }

  TEST_CASE("text that is not JSON is told from what is") {
    const std::string tier =
        R"({"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"a"},"spec":{"order":1.5}})";
    CHECK(api::decode_json(" " + tier + "\n"));
    for (const std::string& text : {std::string(),
                                    tier + "x",
                                    tier.substr(0, tier.size() - 1),
                                    std::string(200, '['),
                                    std::string("{\"order\": 1.}")}) {
      const auto read = api::decode_json(text);
      REQUIRE_FALSE(read);
      CHECK_MESSAGE(read.error().text.starts_with("not JSON: "), read.error().text);
    }
  }

  TEST_CASE("empty texts and comments hold no document") {
    CHECK(api::decode_documents("").empty());
    CHECK(api::decode_documents("---\n# nothing\n---\n").empty());
  }

  TEST_CASE("numbers and words that YAML could mistake stay texts") {
    const auto documents = api::decode_documents(
        std::string(kHead) + "spec: {selector: \"true\"}\n---\n" +
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"123\", labels: {a: \"no\", b: "
        "\"1e3\", c: \"null\", d: \"~\"}}\n");
    REQUIRE(documents.size() == 2);
    for (const api::Document& document : documents) {
      if (document.resource) {
        const auto again = api::decode_documents(api::encode_yaml(*document.resource));
        REQUIRE(again.size() == 1);
        REQUIRE(again[0].resource);
        CHECK(*again[0].resource == *document.resource);
      }
    }
    CHECK(documents[0].resource);
  }
}
