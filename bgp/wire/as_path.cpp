#include "bgp/wire/as_path.h"

#include <algorithm>
#include <limits>

namespace margay::bgp {

namespace {

constexpr unsigned kTypeShift = 24;
constexpr std::uint32_t kCountMask = 0x00FFFFFF;
constexpr std::size_t kMaxSegment = 255;  // the wire's count octet

AsPath::SegmentType type_of(std::uint32_t word) {
  return static_cast<AsPath::SegmentType>(word >> kTypeShift);
}
std::size_t count_of(std::uint32_t word) {
  return word & kCountMask;
}
std::uint32_t header_of(AsPath::SegmentType type, std::size_t count) {
  return (static_cast<std::uint32_t>(type) << kTypeShift) | static_cast<std::uint32_t>(count);
}

bool is_confed(AsPath::SegmentType type) {
  return type == AsPath::SegmentType::kConfedSequence || type == AsPath::SegmentType::kConfedSet;
}
bool is_set(AsPath::SegmentType type) {
  return type == AsPath::SegmentType::kSet || type == AsPath::SegmentType::kConfedSet;
}

// The words of the first `count` AS numbers of a path, for RFC 6793 section 4.2.3. A set counts one
// and is taken whole.
void append_leading(AsPath& out, const AsPath& path, unsigned count) {
  for (const AsPath::Segment& segment : path.segments()) {
    if (count == 0) {
      return;
    }
    if (is_set(segment.type)) {
      out.append(segment.type, segment.asns);
      --count;
      continue;
    }
    const std::size_t taken = std::min<std::size_t>(count, segment.asns.size());
    out.append(segment.type, segment.asns.first(taken));
    count -= static_cast<unsigned>(taken);
  }
}

}  // namespace

AsPath AsPath::sequence(std::span<const Asn> asns) {
  std::vector<std::uint32_t> numbers;
  numbers.reserve(asns.size());
  for (const Asn asn : asns) {
    numbers.push_back(asn.value());
  }
  AsPath path;
  path.append(SegmentType::kSequence, numbers);
  return path;
}

AsPath::Fault AsPath::decode(Bytes value, bool wide, bool skip_confed, AsPath& out) {
  out.words_.clear();
  Fault fault = Fault::kNone;
  std::vector<std::uint32_t> asns;
  ByteReader in(value);
  while (!in.empty() && fault == Fault::kNone) {
    const unsigned type = in.u8();
    const std::size_t count = in.u8();
    if (type < 1 || type > 4) {
      fault = Fault::kType;
      break;
    }
    ByteReader numbers = in.sub(count * (wide ? 4U : 2U));
    asns.clear();
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
      asns.push_back(wide ? numbers.u32() : numbers.u16());
    }
    const auto segment = static_cast<SegmentType>(type);
    if (!in.ok()) {
      fault = Fault::kOverrun;
    } else if (count == 0) {
      fault = Fault::kEmptySegment;
    } else if (std::ranges::find(asns, 0U) != asns.end()) {
      fault = Fault::kAsZero;  // RFC 7607
    } else if (!is_confed(segment)) {
      out.append(segment, asns);
    } else if (!skip_confed) {
      fault = Fault::kConfed;
    }
  }
  if (fault != Fault::kNone) {
    out.words_.clear();
  }
  return fault;
}

void AsPath::encode(ByteWriter& out, bool wide) const {
  for (const Segment& segment : segments()) {
    std::span<const std::uint32_t> left = segment.asns;
    while (!left.empty()) {
      const auto part = left.first(std::min(kMaxSegment, left.size()));
      left = left.subspan(part.size());
      out.u8(static_cast<std::uint8_t>(segment.type));
      out.u8(static_cast<std::uint8_t>(part.size()));
      for (const std::uint32_t asn : part) {
        if (wide) {
          out.u32(asn);
        } else {
          const bool fits = asn <= std::numeric_limits<std::uint16_t>::max();
          out.u16(static_cast<std::uint16_t>(fits ? asn : kAsTrans.value()));
        }
      }
    }
  }
}

std::size_t AsPath::encoded_size(bool wide) const {
  std::size_t size = 0;
  for (const Segment& segment : segments()) {
    size += 2 * ((segment.asns.size() + kMaxSegment - 1) / kMaxSegment);
    size += segment.asns.size() * (wide ? 4U : 2U);
  }
  return size;
}

AsPath AsPath::merged_with_as4(const AsPath& as4) const {
  const unsigned wide_length = as4.length();
  if (wide_length == 0 || length() < wide_length) {
    return *this;
  }
  AsPath merged;
  append_leading(merged, *this, length() - wide_length);
  for (const Segment& segment : as4.segments()) {
    merged.append(segment.type, segment.asns);
  }
  return merged;
}

void AsPath::append(SegmentType type, std::span<const std::uint32_t> asns) {
  if (asns.empty()) {
    return;
  }
  std::vector<std::uint32_t> sorted;
  if (is_set(type)) {
    sorted.assign(asns.begin(), asns.end());
    std::ranges::sort(sorted);
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    asns = sorted;
  }
  std::size_t last = 0;  // header of the last segment
  for (std::size_t at = 0; at < words_.size(); at += count_of(words_[at]) + 1) {
    last = at;
  }
  const bool joins = !words_.empty() && !is_set(type) && type_of(words_[last]) == type;
  if (joins) {
    words_[last] = header_of(type, count_of(words_[last]) + asns.size());
  } else {
    words_.reserve(words_.size() + asns.size() + 1);
    words_.push_back(header_of(type, asns.size()));
  }
  words_.insert(words_.end(), asns.begin(), asns.end());
}

void AsPath::prepend(Asn asn, unsigned times) {
  if (times == 0) {
    return;
  }
  if (words_.empty() || type_of(words_.front()) != SegmentType::kSequence) {
    words_.insert(words_.begin(), header_of(SegmentType::kSequence, 0));
  }
  words_.front() = header_of(SegmentType::kSequence, count_of(words_.front()) + times);
  words_.insert(words_.begin() + 1, times, asn.value());
}

unsigned AsPath::length() const {
  std::size_t length = 0;
  for (std::size_t at = 0; at < words_.size(); at += count_of(words_[at]) + 1) {
    switch (type_of(words_[at])) {
      case SegmentType::kSet:
        ++length;
        break;
      case SegmentType::kSequence:
        length += count_of(words_[at]);
        break;
      case SegmentType::kConfedSequence:
      case SegmentType::kConfedSet:
        break;
    }
  }
  return static_cast<unsigned>(length);
}

unsigned AsPath::count(Asn asn) const {
  std::ptrdiff_t count = 0;
  for (const Segment& segment : segments()) {
    count += std::ranges::count(segment.asns, asn.value());
  }
  return static_cast<unsigned>(count);
}

Asn AsPath::first() const {
  const bool sequence = !words_.empty() && type_of(words_.front()) == SegmentType::kSequence;
  return sequence ? Asn{words_[1]} : Asn{};
}

Asn AsPath::origin() const {
  const std::vector<Segment> all = segments();
  const bool sequence = !all.empty() && all.back().type == SegmentType::kSequence;
  return sequence ? Asn{all.back().asns.back()} : Asn{};
}

bool AsPath::has_set() const {
  return std::ranges::any_of(segments(), [](const Segment& s) { return is_set(s.type); });
}

bool AsPath::fits_two_octets() const {
  return std::ranges::all_of(segments(), [](const Segment& segment) {
    return std::ranges::all_of(segment.asns, [](std::uint32_t asn) {
      return asn <= std::numeric_limits<std::uint16_t>::max();
    });
  });
}

std::vector<AsPath::Segment> AsPath::segments() const {
  std::vector<Segment> out;
  for (std::size_t at = 0; at < words_.size(); at += count_of(words_[at]) + 1) {
    const auto asns = std::span(words_).subspan(at + 1, count_of(words_[at]));
    out.push_back(Segment{type_of(words_[at]), asns});
  }
  return out;
}

std::string AsPath::str() const {
  std::string out;
  for (const Segment& segment : segments()) {
    const std::string_view separator = is_set(segment.type) ? "," : " ";
    const std::string numbers = fmt::format("{}", fmt::join(segment.asns, separator));
    const std::string text = is_set(segment.type) ? fmt::format("{{{}}}", numbers) : numbers;
    out += fmt::format(
        "{}{}", out.empty() ? "" : " ", is_confed(segment.type) ? fmt::format("({})", text) : text);
  }
  return out;
}

}  // namespace margay::bgp
