#include "bgp/wire/update.h"

#include "bgp/wire/attribute_table.h"

#include <algorithm>
#include <bitset>

namespace margay::bgp {

namespace {

constexpr std::size_t kMaxEcho = 1024;  // bytes of a bad attribute that go back to the peer

struct RawAttribute {
  std::uint8_t flags = 0;
  std::uint8_t type = 0;
  Bytes value;
  Bytes whole;  // with header
};

// The next attribute of a list. False at the end, and when header or value run past the end
// (RFC 7606 section 4), which the reader then remembers as not ok.
bool next_attribute(Bytes list, ByteReader& in, RawAttribute& out) {
  if (in.empty()) {
    return false;
  }
  const std::size_t start = in.position();
  out.flags = in.u8();
  out.type = in.u8();
  const std::size_t length = (out.flags & kFlagExtended) != 0 ? in.u16() : in.u8();
  out.value = in.bytes(length);
  out.whole = list.subspan(start, in.position() - start);
  return in.ok();
}

Failure<Notification> malformed_list() {
  return fail(Notification::update(UpdateError::kMalformedAttributeList));
}
Failure<Notification> bad_multiprotocol(const RawAttribute& attribute) {
  return fail(
      Notification::update(UpdateError::kOptionalAttribute,
                           attribute.whole.first(std::min(kMaxEcho, attribute.whole.size()))));
}

bool wrong_flags(std::uint8_t flags, std::uint8_t expected) {
  return ((flags ^ expected) & (kFlagOptional | kFlagTransitive)) != 0;
}

// RFC 7606 section 5.3: flags, sizes below 5 and 3, and a next hop that runs past the end make the
// NLRI impossible to find.
bool read_mp_reach(const RawAttribute& attribute, MpReach& out) {
  ByteReader in(attribute.value);
  out.family.afi = in.u16();
  out.family.safi = in.u8();
  out.next_hop = in.bytes(in.u8());
  in.u8();  // reserved
  out.nlri = in.rest();
  return in.ok() && !wrong_flags(attribute.flags, kFlagOptional);
}
bool read_mp_unreach(const RawAttribute& attribute, MpUnreach& out) {
  ByteReader in(attribute.value);
  out.family.afi = in.u16();
  out.family.safi = in.u8();
  out.nlri = in.rest();
  return in.ok() && !wrong_flags(attribute.flags, kFlagOptional);
}

// Walks the attribute headers: finds the MP attributes and cuts the key pieces around them.
Result<void, Notification> scan_attributes(UpdateParts& parts) {
  ByteReader in(parts.attributes);
  RawAttribute attribute;
  std::size_t piece = 0;
  std::size_t piece_start = 0;
  while (next_attribute(parts.attributes, in, attribute)) {
    const auto type = static_cast<AttrType>(attribute.type);
    parts.has_attributes |= type != AttrType::kMpUnreach;
    if (type != AttrType::kMpReach && type != AttrType::kMpUnreach) {
      continue;
    }
    const bool again =
        type == AttrType::kMpReach ? parts.mp_reach.has_value() : parts.mp_unreach.has_value();
    if (again) {
      return malformed_list();  // RFC 7606 section 3(g)
    }
    const bool good = type == AttrType::kMpReach
                          ? read_mp_reach(attribute, parts.mp_reach.emplace())
                          : read_mp_unreach(attribute, parts.mp_unreach.emplace());
    if (!good) {
      return bad_multiprotocol(attribute);
    }
    const std::size_t start = in.position() - attribute.whole.size();
    parts.key_pieces.at(piece++) = parts.attributes.subspan(piece_start, start - piece_start);
    piece_start = in.position();
  }
  parts.key_pieces.at(piece) = parts.attributes.subspan(piece_start);
  parts.key_pieces.back() = parts.mp_reach ? parts.mp_reach->next_hop : Bytes{};
  parts.truncated = !in.ok();
  parts.has_attributes |= parts.truncated;
  const auto type = static_cast<AttrType>(attribute.type);
  if (parts.truncated && (type == AttrType::kMpReach || type == AttrType::kMpUnreach)) {
    return malformed_list();  // the NLRI are cut: RFC 7606 section 3(j)
  }
  return {};
}

// RFC 4760 section 3, RFC 2545, RFC 8950. Nothing: the length does not fit the family.
std::optional<NextHop> read_mp_next_hop(Bytes bytes, Family family, const CodecContext& context) {
  constexpr std::size_t kIpv4 = 4;
  constexpr std::size_t kIpv6 = 16;
  const bool may_be_v4 = family == Family::kIpv4;
  const bool may_be_v6 = family == Family::kIpv6 || context.ipv4.extended_next_hop;
  if (bytes.size() == kIpv4 && may_be_v4) {
    return NextHop{IpAddr::v4(ByteReader(bytes).u32()), std::nullopt};
  }
  if (!may_be_v6 || (bytes.size() != kIpv6 && bytes.size() != 2 * kIpv6)) {
    return std::nullopt;
  }
  std::array<std::uint8_t, kIpv6> address{};
  std::ranges::copy(bytes.first(kIpv6), address.begin());
  NextHop next_hop{IpAddr::v6(address), std::nullopt};
  if (bytes.size() == kIpv6) {
    return next_hop;
  }
  std::ranges::copy(bytes.subspan(kIpv6), address.begin());
  const IpAddr second = IpAddr::v6(address);
  if (!second.is_link_local()) {
    return next_hop;  // senders without a link-local address fill it with anything
  }
  if (next_hop.address.is_unspecified() || next_hop.address == second) {
    return NextHop{second, std::nullopt};  // unnumbered peers: only the link-local one counts
  }
  next_hop.link_local = second;
  return next_hop;
}

// The decoding of one attribute list, keeping the first fault of the worst kind for a reset.
class AttributeListDecoder {
 public:
  AttributeListDecoder(const UpdateParts& parts, const CodecContext& context)
      : parts_(parts), context_(context), into_{.context = context, .set = {}} {
    into_.has_nlri_field = !parts.nlri.empty();
  }

  Result<DecodedAttributes, Notification> run() {
    ByteReader in(parts_.attributes);
    RawAttribute attribute;
    while (next_attribute(parts_.attributes, in, attribute)) {
      const auto type = static_cast<AttrType>(attribute.type);
      if (type != AttrType::kMpReach && type != AttrType::kMpUnreach) {
        one(attribute);
      }
    }
    if (parts_.truncated) {
      note(static_cast<AttrType>(attribute.type),
           {UpdateError::kMalformedAttributeList, "runs past the end of the attributes"},
           Outcome::kWithdraw,
           {});
    }
    merge_as4();
    read_next_hop_of_mp_reach();
    check_mandatory();
    check_first_as();
    return finish();
  }

 private:
  void note(AttrType type, AttributeFault fault, Outcome outcome, Bytes bytes) {
    out_.notes.push_back(AttributeNote{type, fault.why, outcome});
    if (!out_.outcome || outcome > *out_.outcome) {
      out_.outcome = outcome;
      reset_ = Notification::update(fault.subcode, bytes.first(std::min(kMaxEcho, bytes.size())));
    }
  }

  // The rules for every attribute, then its row.
  void one(const RawAttribute& attribute) {
    const auto type = static_cast<AttrType>(attribute.type);
    if (seen_.test(attribute.type)) {  // RFC 7606 section 3(g)
      note(type,
           {UpdateError::kMalformedAttributeList, "more than once"},
           Outcome::kDiscard,
           attribute.whole);
      return;
    }
    seen_.set(attribute.type);
    const AttributeSpec* spec = find_attribute(attribute.type);
    if (spec == nullptr) {
      unknown(attribute);
      return;
    }
    if (wrong_flags(attribute.flags, spec->flags)) {  // section 3(c)
      note(
          type, {UpdateError::kAttributeFlags, "wrong flags"}, Outcome::kWithdraw, attribute.whole);
      return;
    }
    if (spec->scope == AttributeScope::kInternalOnly && !context_.internal) {
      note(type,
           {UpdateError::kOptionalAttribute, "from an external peer"},
           Outcome::kDiscard,
           attribute.whole);
      return;
    }
    if (const auto fault = spec->decode(attribute.value, into_)) {
      note(type, *fault, spec->on_error, attribute.whole);
      return;
    }
    if ((attribute.flags & kFlagPartial) != 0) {
      into_.set.partial |= spec->partial_bit;
    }
  }

  void unknown(const RawAttribute& attribute) {
    if ((attribute.flags & kFlagOptional) == 0) {  // RFC 4271 section 6.3
      note(static_cast<AttrType>(attribute.type),
           {UpdateError::kUnrecognizedWellKnown, "unrecognized well-known attribute"},
           Outcome::kReset,
           attribute.whole);
      return;
    }
    if ((attribute.flags & kFlagTransitive) != 0) {
      constexpr std::uint8_t kFlags = 0xF0;
      const auto flags = static_cast<std::uint8_t>((attribute.flags & kFlags) | kFlagPartial);
      into_.set.unknown.push_back(UnknownAttribute{
          attribute.type, flags, {attribute.value.begin(), attribute.value.end()}});
    }
  }

  // RFC 6793 section 4.2.3
  void merge_as4() {
    AttributeSet& set = into_.set;
    const bool foreign = set.aggregator && into_.as4_aggregator && set.aggregator->asn != kAsTrans;
    if (foreign) {
      return;
    }
    if (set.aggregator && into_.as4_aggregator) {
      set.aggregator = into_.as4_aggregator;
    }
    if (into_.as4_path) {
      set.as_path = set.as_path.merged_with_as4(*into_.as4_path);
    }
  }

  void read_next_hop_of_mp_reach() {
    if (!parts_.mp_reach) {
      return;
    }
    const auto family = unicast_family(parts_.mp_reach->family);
    if (!family || !context_.of(*family).enabled) {
      note(AttrType::kMpReach,
           {UpdateError::kOptionalAttribute, "family not negotiated"},
           Outcome::kDiscard,
           {});
      return;
    }
    out_.mp_next_hop = read_mp_next_hop(parts_.mp_reach->next_hop, *family, context_);
    if (!out_.mp_next_hop) {  // RFC 7606 section 7.11
      note(AttrType::kMpReach,
           {UpdateError::kOptionalAttribute, "next hop length does not fit the family"},
           Outcome::kReset,
           parts_.mp_reach->next_hop);
      return;
    }
    out_.mp_next_hop->link = context_.link;
    if (const auto fault = check_next_hop(out_.mp_next_hop->address, context_)) {
      note(AttrType::kMpReach, *fault, Outcome::kWithdraw, parts_.mp_reach->next_hop);
    }
  }

  [[nodiscard]] bool announces_ipv4_field() const { return !parts_.nlri.empty(); }
  [[nodiscard]] bool announces_multiprotocol() const {
    return out_.mp_next_hop.has_value() && !parts_.mp_reach->nlri.empty();
  }

  // RFC 7606 section 3(d). A malformed one was seen and has its own note.
  void check_mandatory() {
    if (!announces_ipv4_field() && !announces_multiprotocol()) {
      return;
    }
    require(AttrType::kOrigin);
    require(AttrType::kAsPath);
    if (announces_ipv4_field()) {
      require(AttrType::kNextHop);
    }
    if (context_.internal) {
      require(AttrType::kLocalPref);
    }
  }
  void require(AttrType type) {
    const auto number = static_cast<std::uint8_t>(type);
    if (!seen_.test(number)) {
      const std::array<std::uint8_t, 1> missing{number};
      note(type, {UpdateError::kMissingWellKnown, "missing"}, Outcome::kWithdraw, missing);
    }
  }

  // RFC 4271 section 6.3, a check an external peer's routes MAY get
  void check_first_as() {
    const bool applies = context_.enforce_first_as && !context_.internal &&
                         context_.peer_asn != Asn{} &&
                         (!out_.outcome || out_.outcome == Outcome::kDiscard) &&
                         (announces_ipv4_field() || announces_multiprotocol());
    if (applies && into_.set.as_path.first() != context_.peer_asn) {
      note(AttrType::kAsPath,
           {UpdateError::kMalformedAsPath, "does not start with the peer's AS"},
           Outcome::kWithdraw,
           {});
    }
  }

  Result<DecodedAttributes, Notification> finish() {
    const bool reachable =
        !parts_.nlri.empty() || (parts_.mp_reach && !parts_.mp_reach->nlri.empty());
    const bool nothing_to_withdraw =
        out_.outcome == Outcome::kWithdraw && parts_.has_attributes && !reachable;
    if (out_.outcome == Outcome::kReset || nothing_to_withdraw) {  // RFC 7606 section 5.2
      return fail(std::move(reset_));
    }
    into_.set.canonicalize();
    out_.attributes = std::move(into_.set);
    return std::move(out_);
  }

  const UpdateParts& parts_;
  const CodecContext& context_;
  AttributeDecoding into_;
  DecodedAttributes out_;
  std::bitset<256> seen_;
  Notification reset_;
};

// A family that was not negotiated is not looked at.
bool read_multiprotocol(AfiSafi id,
                        Bytes field,
                        const CodecContext& context,
                        std::vector<Nlri>& out) {
  const auto family = unicast_family(id);
  if (!family || !context.of(*family).enabled) {
    return true;
  }
  return decode_nlri(field, *family, context.of(*family).add_path_receive, out);
}

void append(std::vector<Nlri>& to, const std::vector<Nlri>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void drop_martians(std::vector<Nlri>& prefixes, std::vector<AttributeNote>& notes) {
  const auto dropped =
      std::erase_if(prefixes, [](const Nlri& nlri) { return is_martian(nlri.prefix); });
  if (dropped != 0) {
    notes.push_back(kMartianNote);
  }
}

}  // namespace

std::string to_string(const AttributeNote& note) {
  return fmt::format("{}: {}: {}", to_string(note.type), note.why, to_string(note.outcome));
}

std::uint64_t UpdateParts::key_shape() const {
  std::uint64_t shape = (nlri.empty() ? 0U : 1U) | (truncated ? 2U : 0U) | (mp_reach ? 4U : 0U) |
                        (mp_unreach ? 8U : 0U);
  if (mp_reach) {
    shape |= mp_reach->nlri.empty() ? 0U : 16U;
    shape |= std::uint64_t{mp_reach->next_hop.size()} << 8U;
    shape |= std::uint64_t{mp_reach->family.safi} << 16U;
    shape |= std::uint64_t{mp_reach->family.afi} << 24U;
  }
  return shape;
}

std::optional<AfiSafi> UpdateParts::end_of_rib() const {
  if (!withdrawn.empty() || !nlri.empty() || has_attributes) {
    return std::nullopt;
  }
  if (!mp_unreach) {
    return kIpv4Unicast;
  }
  return mp_unreach->nlri.empty() ? std::optional(mp_unreach->family) : std::nullopt;
}

Result<UpdateParts, Notification> split_update(Bytes body) {
  ByteReader in(body);
  UpdateParts parts;
  parts.withdrawn = in.bytes(in.u16());
  parts.attributes = in.bytes(in.u16());
  parts.nlri = in.rest();
  if (!in.ok()) {
    return malformed_list();  // RFC 4271 section 6.3: lengths exceed the message
  }
  if (auto scanned = scan_attributes(parts); !scanned) {
    return fail(scanned.error());
  }
  return parts;
}

Result<DecodedAttributes, Notification> decode_attributes(const UpdateParts& parts,
                                                          const CodecContext& context) {
  return AttributeListDecoder(parts, context).run();
}

Result<void, Notification> read_nlri(const UpdateParts& parts,
                                     const CodecContext& context,
                                     UpdateNlri& out) {
  for (auto* field : {&out.withdrawn, &out.unreachable, &out.announced, &out.reachable}) {
    field->clear();
  }
  const bool add_path = context.ipv4.add_path_receive;
  if (!decode_nlri(parts.withdrawn, Family::kIpv4, add_path, out.withdrawn) ||
      !decode_nlri(parts.nlri, Family::kIpv4, add_path, out.announced)) {
    return fail(Notification::update(UpdateError::kInvalidNetwork));
  }
  const bool good =
      (!parts.mp_unreach ||
       read_multiprotocol(
           parts.mp_unreach->family, parts.mp_unreach->nlri, context, out.unreachable)) &&
      (!parts.mp_reach ||
       read_multiprotocol(parts.mp_reach->family, parts.mp_reach->nlri, context, out.reachable));
  if (!good) {
    return fail(Notification::update(UpdateError::kOptionalAttribute));
  }
  if (!context.ipv4.enabled) {
    out.withdrawn.clear();
    out.announced.clear();
  }
  return {};
}

Result<Update, Notification> decode_update(Bytes body, const CodecContext& context) {
  const auto parts = split_update(body);
  if (!parts) {
    return fail(parts.error());
  }
  UpdateNlri nlri;
  if (auto read = read_nlri(*parts, context, nlri); !read) {
    return fail(read.error());
  }
  return decode_update(*parts, nlri, context);
}

Result<Update, Notification> decode_update(const UpdateParts& parts,
                                           const UpdateNlri& nlri,
                                           const CodecContext& context) {
  auto decoded = decode_attributes(parts, context);
  if (!decoded) {
    return fail(decoded.error());
  }
  Update update;
  update.end_of_rib = parts.end_of_rib();
  update.notes = std::move(decoded->notes);
  update.withdrawn = nlri.withdrawn;
  append(update.withdrawn, nlri.unreachable);
  if (decoded->outcome == Outcome::kWithdraw) {
    append(update.withdrawn, nlri.announced);
    append(update.withdrawn, nlri.reachable);
    return update;
  }
  std::vector<Nlri> announced = nlri.announced;
  std::vector<Nlri> reachable = nlri.reachable;
  drop_martians(announced, update.notes);
  drop_martians(reachable, update.notes);
  if (!reachable.empty()) {
    AttributeSet set = announced.empty() ? std::move(decoded->attributes) : decoded->attributes;
    set.next_hop = *decoded->mp_next_hop;
    if (!announced.empty()) {
      update.announced.push_back({std::move(decoded->attributes), std::move(announced)});
    }
    update.announced.push_back({std::move(set), std::move(reachable)});
  } else if (!announced.empty()) {
    update.announced.push_back({std::move(decoded->attributes), std::move(announced)});
  }
  return update;
}

}  // namespace margay::bgp
