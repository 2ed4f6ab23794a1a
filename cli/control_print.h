#pragma once
// The answers of the control socket as text and as JSON; pure, golden-tested.

#include <cstdint>
#include <string>

namespace margay::control::v1 {
class NodeStatus;
class DumpBgpTableResponse;
class ListBgpPeersResponse;
class ListBgpRoutesResponse;
class BgpExports;
class BgpNeighbor;
class Dataplane;
class Diagnosis;
}  // namespace margay::control::v1

namespace google::protobuf {
class Message;
}

namespace margay::cli {

// now_ms: UNIX milliseconds, for "since".
[[nodiscard]] std::string to_text(const control::v1::NodeStatus& status, std::int64_t now_ms);
[[nodiscard]] std::string to_text(const control::v1::DumpBgpTableResponse& response);
[[nodiscard]] std::string to_text(const control::v1::ListBgpPeersResponse& response,
                                  std::int64_t now_ms);
[[nodiscard]] std::string to_text(const control::v1::ListBgpRoutesResponse& response, bool detail);
[[nodiscard]] std::string to_text(const control::v1::BgpExports& exports, bool detail);
[[nodiscard]] std::string to_text(const control::v1::BgpNeighbor& neighbor, std::int64_t now_ms);
[[nodiscard]] std::string to_text(const control::v1::Dataplane& dataplane, bool detail);
[[nodiscard]] std::string to_text(const control::v1::Diagnosis& diagnosis);
// Field names as in control.proto, defaults included.
[[nodiscard]] std::string to_json(const google::protobuf::Message& message);

}  // namespace margay::cli
