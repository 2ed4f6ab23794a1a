#pragma once
// NLRI: prefixes on the wire (RFC 4271 section 4.3, RFC 4760, path identifiers of RFC 7911).
// NlriReader walks a field without allocating; it stops at the first prefix that RFC 7606 section
// 5.3 calls syntactically incorrect.

#include "base/byte_io.h"
#include "bgp/wire/types.h"

#include <vector>

namespace margay::bgp {

struct Nlri {
  Prefix prefix;
  std::uint32_t path_id = 0;  // 0 without add-path
  auto operator<=>(const Nlri&) const = default;
};

class NlriReader {
 public:
  NlriReader(Bytes field, Family family, bool add_path)
      : reader_(field), family_(family), add_path_(add_path) {}
  // False at the end and at a fault; failed() tells them apart. Host bits are cleared (senders that
  // leave them set exist).
  [[nodiscard]] bool next(Nlri& out);
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  ByteReader reader_;
  Family family_;
  bool add_path_;
  bool failed_ = false;
};

// Appends all prefixes of a field; false (and nothing appended) when it is incorrect.
[[nodiscard]] bool decode_nlri(Bytes field, Family family, bool add_path, std::vector<Nlri>& out);
void encode_nlri(ByteWriter& out, const Nlri& nlri, bool add_path);
[[nodiscard]] std::size_t encoded_size(const Nlri& nlri, bool add_path);

// A prefix nobody may announce: inside 0/8 (not the default route), 127/8, 224/3, ::/96 and
// ::ffff:0/96 (not the default route), fe80::/10, ff00::/8. RFC 4271 section 6.3: ignored.
[[nodiscard]] bool is_martian(const Prefix& prefix);

}  // namespace margay::bgp
