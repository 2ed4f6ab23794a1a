#pragma once
// bmp, mrt and record in the file of margay-bgpd. Internal to bgp/.

#include "bgp/config_section.h"
#include "bgp/monitor/settings.h"

#include <optional>
#include <vector>

namespace margay::bgp {

// One collector, or a list of them.
[[nodiscard]] Result<void> read_bmp(const Section& root, std::vector<BmpSettings>& into);
[[nodiscard]] Result<void> read_mrt(const Section& root, std::optional<MrtSettings>& into);
// Of a group or a peer.
[[nodiscard]] Result<void> read_record(const Section& section, std::optional<RecordSettings>& into);

}  // namespace margay::bgp
