#pragma once
// AsPath: the segments of AS_PATH in one flat vector, so that a path costs one allocation and
// compares as words.
//
//   words_:  [type 8 bits | count 24 bits] asn asn asn  [type | count] asn ...
//
// Canonical: neighbouring AS_SEQUENCE segments are one, whatever the sender's split at 255 was;
// sets are sorted and unique. The encoder splits again.

#include "base/byte_io.h"
#include "bgp/wire/types.h"

#include <span>
#include <string>
#include <vector>

namespace margay::bgp {

class AsPath {
 public:
  enum class SegmentType : std::uint8_t {
    kSet = 1,
    kSequence = 2,
    kConfedSequence = 3,
    kConfedSet = 4,
  };
  struct Segment {
    SegmentType type = SegmentType::kSequence;
    std::span<const std::uint32_t> asns;
  };
  enum class Fault : std::uint8_t { kNone, kType, kOverrun, kEmptySegment, kAsZero, kConfed };

  AsPath() = default;
  static AsPath sequence(std::span<const Asn> asns);

  // wide: 4-octet AS numbers. On a fault the path is empty. Confederation segments are
  // kFault::kConfed unless skip_confed, which leaves them out (RFC 6793 section 6, for AS4_PATH).
  static Fault decode(Bytes value, bool wide, bool skip_confed, AsPath& out);
  // The value of AS_PATH. In 2 octets a large number becomes AS_TRANS.
  void encode(ByteWriter& out, bool wide) const;
  [[nodiscard]] std::size_t encoded_size(bool wide) const;
  // RFC 6793 section 4.2.3: this path from a 2-octet peer with its AS4_PATH put in. AS4_PATH longer
  // than the path is ignored.
  [[nodiscard]] AsPath merged_with_as4(const AsPath& as4) const;

  void append(SegmentType type, std::span<const std::uint32_t> asns);
  void prepend(Asn asn, unsigned times = 1);

  [[nodiscard]] bool empty() const { return words_.empty(); }
  // RFC 4271 section 9.1.2.2 (a): a set counts one; confederation segments count nothing.
  [[nodiscard]] unsigned length() const;
  [[nodiscard]] unsigned count(Asn asn) const;
  [[nodiscard]] bool contains(Asn asn) const { return count(asn) > 0; }
  // The leftmost AS if the path starts with a sequence: the neighbouring AS. Asn 0 otherwise.
  [[nodiscard]] Asn first() const;
  // The rightmost AS if the path ends with a sequence. Asn 0 otherwise.
  [[nodiscard]] Asn origin() const;
  [[nodiscard]] bool has_set() const;
  [[nodiscard]] bool fits_two_octets() const;
  [[nodiscard]] std::vector<Segment> segments() const;
  [[nodiscard]] std::span<const std::uint32_t> words() const { return words_; }

  [[nodiscard]] std::string str() const;  // "65001 65002 {65003,65004}"

  auto operator<=>(const AsPath&) const = default;
  bool operator==(const AsPath&) const = default;

 private:
  std::vector<std::uint32_t> words_;
};

}  // namespace margay::bgp
