#include "bgp/wire/as_path.h"

#include <doctest/doctest.h>

#include <array>

namespace margay::bgp {
namespace {

using Type = AsPath::SegmentType;

AsPath path_of(std::initializer_list<std::uint32_t> asns) {
  AsPath path;
  path.append(Type::kSequence, std::vector<std::uint32_t>(asns));
  return path;
}

std::vector<std::uint8_t> encoded(const AsPath& path, bool wide) {
  ByteWriter out;
  path.encode(out, wide);
  return out.take();
}

TEST_SUITE("bgp.wire") {
  TEST_CASE("an AS path and its bytes are the same both ways") {
    AsPath path = path_of({65001, 4200000000});
    path.append(Type::kSet, std::array<std::uint32_t, 2>{3, 2});
    const std::vector<std::uint8_t> bytes{2, 2, 0, 0, 0xFD, 0xE9, 0xFA, 0x56, 0xEA, 0x00,
                                          1, 2, 0, 0, 0,    2,    0,    0,    0,    3};
    CHECK(encoded(path, true) == bytes);
    CHECK(path.encoded_size(true) == bytes.size());
    AsPath decoded;
    CHECK(AsPath::decode(bytes, true, false, decoded) == AsPath::Fault::kNone);
    CHECK(decoded == path);
    CHECK(decoded.str() == "65001 4200000000 {2,3}");
    CHECK(decoded.length() == 3);
    CHECK(decoded.first() == Asn{65001});
    CHECK(decoded.origin() == Asn{});
    CHECK(decoded.has_set());
  }

  TEST_CASE("a large AS number becomes AS_TRANS in two octets") {
    const std::vector<std::uint8_t> bytes{2, 2, 0xFD, 0xE9, 0x5B, 0xA0};
    CHECK(encoded(path_of({65001, 4200000000}), false) == bytes);
    CHECK(!path_of({65001, 4200000000}).fits_two_octets());
  }

  TEST_CASE("prepending beyond 255 splits the segment on the wire and nowhere else") {
    AsPath path = path_of({1});
    path.prepend(Asn{2}, 300);
    CHECK(path.length() == 301);
    CHECK(path.count(Asn{2}) == 300);
    const auto bytes = encoded(path, true);
    CHECK(bytes.size() == path.encoded_size(true));
    CHECK(bytes[1] == 255);
    CHECK(bytes[2 + 255 * 4 + 1] == 46);
    AsPath decoded;
    CHECK(AsPath::decode(bytes, true, false, decoded) == AsPath::Fault::kNone);
    CHECK(decoded == path);
    CHECK(decoded.segments().size() == 1);
  }

  TEST_CASE("prepending to a path that starts with a set adds a sequence") {
    AsPath path;
    path.append(Type::kSet, std::array<std::uint32_t, 1>{7});
    path.prepend(Asn{9});
    CHECK(path.str() == "9 {7}");
    CHECK(path.origin() == Asn{});
  }

  TEST_CASE("AS4_PATH replaces the end of AS_PATH") {
    struct Row {
      std::string why;
      AsPath as_path;
      AsPath as4_path;
      std::string merged;
    };
    const std::vector<Row> rows{
        {"one old speaker in front", path_of({1, 23456, 3}), path_of({70000, 3}), "1 70000 3"},
        {"same length", path_of({23456, 3}), path_of({70000, 3}), "70000 3"},
        {"longer AS4_PATH is ignored", path_of({23456}), path_of({70000, 3}), "23456"},
        {"empty AS4_PATH is ignored", path_of({1, 2}), AsPath{}, "1 2"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      CHECK(row.as_path.merged_with_as4(row.as4_path).str() == row.merged);
    }
  }

  TEST_CASE("the empty path has no neighbour, no origin and length 0") {
    const AsPath path;
    CHECK(path.empty());
    CHECK(path.length() == 0);
    CHECK(path.first() == Asn{});
    CHECK(path.origin() == Asn{});
    CHECK(encoded(path, true).empty());
  }
}

}  // namespace
}  // namespace margay::bgp
