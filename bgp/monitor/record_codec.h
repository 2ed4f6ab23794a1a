#pragma once
// The lines of a record to and from JSON, and decisions in words. Internal to bgp/monitor.

#include "bgp/monitor/record.h"

#include <boost/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp::record {

namespace json = boost::json;

inline constexpr std::string_view kFormat = "margay-bgp-record";
inline constexpr int kVersion = 1;

[[nodiscard]] json::object header_line(const RecordHeader& header);
[[nodiscard]] Result<RecordHeader> read_header(const json::object& line);
[[nodiscard]] json::value filters_value(const PeerFilters& filters);
[[nodiscard]] bool read_filters(const json::value& value, PeerFilters& into);

[[nodiscard]] std::string hex(Bytes bytes);
[[nodiscard]] std::optional<std::vector<std::uint8_t>> unhex(std::string_view text);

// "send out ffff...", "up in 90 s ipv4 ipv6 ...": equal decisions give equal words.
[[nodiscard]] std::string to_string(const Action& action);
[[nodiscard]] std::string to_string(const Result<UpdateReport, Notification>& answer,
                                    const PeerCounts& counts);
[[nodiscard]] std::string_view to_string(Side side);
[[nodiscard]] std::string_view to_string(RecordedPeer::TableCall call);

}  // namespace margay::bgp::record
