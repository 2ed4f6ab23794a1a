#pragma once
// UPDATE (RFC 4271 section 4.3) read in two steps, so that a table can skip the expensive one:
//
//   split_update       finds the three fields and, in the attribute headers, MP_REACH and
//   MP_UNREACH;
//                      key_pieces with key_shape() are the bytes that decide the AttributeSet
//   decode_attributes  table-driven, RFC 7606; only for attribute bytes not seen before
//
// A cache keyed by (context, key pieces, key shape) may keep DecodedAttributes whose outcome is
// empty and, on a hit, take the prefixes from read_nlri. decode_update does all of it for callers
// that do not cache. Apply `withdrawn` before `announced`: a prefix in both is announced.

#include "bgp/wire/attributes.h"
#include "bgp/wire/context.h"
#include "bgp/wire/nlri.h"
#include "bgp/wire/notification.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp {

// One thing that was wrong with an UPDATE but did not end the session. `why` is a literal.
struct AttributeNote {
  AttrType type = AttrType::kOrigin;
  std::string_view why;
  Outcome outcome = Outcome::kDiscard;
  bool operator==(const AttributeNote&) const = default;
};
[[nodiscard]] std::string to_string(const AttributeNote& note);
inline constexpr AttributeNote kMartianNote{
    AttrType::kNlriField, "prefix nobody may announce", Outcome::kDiscard};

// The two multiprotocol attributes (RFC 4760), cut but not read.
struct MpReach {
  AfiSafi family;
  Bytes next_hop;
  Bytes nlri;
};
struct MpUnreach {
  AfiSafi family;
  Bytes nlri;
};

struct UpdateParts {
  Bytes withdrawn;   // IPv4 Withdrawn Routes
  Bytes attributes;  // all path attributes
  Bytes nlri;        // IPv4 NLRI
  std::optional<MpReach> mp_reach;
  std::optional<MpUnreach> mp_unreach;
  // The attribute list runs past its end: everything from the first broken attribute on is lost
  // (RFC 7606 section 4), so what it announces is withdrawn.
  bool truncated = false;
  // Attributes other than MP_UNREACH_NLRI are there.
  bool has_attributes = false;

  // What decides the result of decode_attributes, for a given context: the attributes without the
  // two MP attributes, then the next hop bytes of MP_REACH, and the shape of the message.
  std::array<Bytes, 4> key_pieces;
  [[nodiscard]] std::uint64_t key_shape() const;

  // Nothing but the end-of-RIB mark of a family (RFC 4724 section 2).
  [[nodiscard]] std::optional<AfiSafi> end_of_rib() const;
};

// body: the message without header. Fails where only a reset is left: lengths that contradict each
// other (3/1), an MP attribute twice (3/1), or one so broken that its NLRI cannot be found (3/9).
[[nodiscard]] Result<UpdateParts, Notification> split_update(Bytes body);

struct DecodedAttributes {
  AttributeSet attributes;             // next_hop from NEXT_HOP, for the NLRI field
  std::optional<NextHop> mp_next_hop;  // for the prefixes of MP_REACH_NLRI
  std::vector<AttributeNote> notes;
  std::optional<Outcome> outcome;  // the worst of the notes; kDiscard or kWithdraw
};

// Fails only where RFC 7606 leaves a session reset.
[[nodiscard]] Result<DecodedAttributes, Notification> decode_attributes(
    const UpdateParts& parts, const CodecContext& context);

struct Announcement {
  AttributeSet attributes;
  std::vector<Nlri> prefixes;  // of one family
  bool operator==(const Announcement&) const = default;
};

struct Update {
  std::vector<Nlri> withdrawn;          // both families; also what is treated as withdrawn
  std::vector<Announcement> announced;  // at most two: NLRI field, MP_REACH_NLRI
  std::optional<AfiSafi> end_of_rib;
  std::vector<AttributeNote> notes;
  bool operator==(const Update&) const = default;
};

[[nodiscard]] Result<Update, Notification> decode_update(Bytes body, const CodecContext& context);

// The prefixes of the four fields; none of a family that was not negotiated.
struct UpdateNlri {
  std::vector<Nlri> withdrawn;    // IPv4 Withdrawn Routes
  std::vector<Nlri> unreachable;  // MP_UNREACH_NLRI
  std::vector<Nlri> announced;    // IPv4 NLRI
  std::vector<Nlri> reachable;    // MP_REACH_NLRI
};
// Instead of what `out` holds. Fails where a field is incorrect: 3/10, 3/9.
[[nodiscard]] Result<void, Notification> read_nlri(const UpdateParts& parts,
                                                   const CodecContext& context,
                                                   UpdateNlri& out);
// The last step of decode_update.
[[nodiscard]] Result<Update, Notification> decode_update(const UpdateParts& parts,
                                                         const UpdateNlri& nlri,
                                                         const CodecContext& context);

// Attributes ready to be sent: encoded once per group of equal peers, then used by UpdatePacker for
// any number of prefixes of one family.
struct EncodedAttributes {
  Family family = Family::kIpv4;       // of the prefixes
  bool multiprotocol = false;          // prefixes go into MP_REACH_NLRI, else into the NLRI field
  std::vector<std::uint8_t> next_hop;  // of MP_REACH_NLRI
  std::vector<std::uint8_t> block;     // all other attributes in order of type
  bool operator==(const EncodedAttributes&) const = default;
};
// Writes what the set holds: whoever exports has removed LOCAL_PREF and the reflection attributes
// for eBGP. A large AS number for a 2-octet peer adds AS4_PATH and AS4_AGGREGATOR.
[[nodiscard]] EncodedAttributes encode_attributes(const AttributeSet& attributes,
                                                  Family family,
                                                  const CodecContext& context);

// Appends whole UPDATE messages to a buffer, each as full as the session's message size allows. One
// kind of route per message and MP_REACH_NLRI first, as RFC 7606 section 5.1 asks.
class UpdatePacker {
 public:
  explicit UpdatePacker(const CodecContext& context) : context_(context) {}

  // Prefixes of attributes.family. False, and nothing written, when the attributes leave no room
  // for a prefix: the caller must then withdraw the routes from this peer (RFC 8654 section 4).
  [[nodiscard]] bool announce(const EncodedAttributes& attributes, std::span<const Nlri> prefixes);
  [[nodiscard]] bool announce(const AttributeSet& attributes, std::span<const Nlri> prefixes);
  void withdraw(std::span<const Nlri> prefixes);  // families may be mixed
  void end_of_rib(AfiSafi family);

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] std::size_t messages() const { return messages_; }
  [[nodiscard]] std::vector<std::uint8_t> take() {
    messages_ = 0;
    return out_.take();
  }

 private:
  void withdraw_family(Family family, std::span<const Nlri> prefixes);
  [[nodiscard]] std::size_t max_size() const;

  CodecContext context_;
  ByteWriter out_;
  std::size_t messages_ = 0;
};

}  // namespace margay::bgp
