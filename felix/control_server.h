#pragma once
// ControlServer: the gRPC control socket of api/proto/control.proto, readable by root only.
//
// gRPC's own threads receive the calls; each call asks the backend, which answers from the agent's
// loops by value, and waits at most two seconds for it (then UNAVAILABLE), so a stuck loop cannot
// pin callers.

#include "base/result.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace margay::control::v1 {
class NodeStatus;
class ListBgpPeersResponse;
class ListBgpRoutesResponse;
class BgpExports;
class BgpNeighbor;
class DumpBgpTableResponse;
class Dataplane;
class Diagnosis;
}  // namespace margay::control::v1

namespace margay::felix {

// Each function is called on any thread and answers once, on any thread. An empty optional: not
// found. margay-bgpd leaves out what only an agent can answer: status, dataplane, diagnose.
struct ControlBackend {
  template <typename T>
  using Reply = std::function<void(std::optional<T>)>;

  std::function<void(Reply<control::v1::NodeStatus>)> status;
  std::function<void(Reply<control::v1::ListBgpPeersResponse>)> bgp_peers;
  std::function<void(std::string prefix, Reply<control::v1::ListBgpRoutesResponse>)> bgp_routes;
  std::function<void(std::string peer, Reply<control::v1::BgpNeighbor>)> bgp_neighbor;
  std::function<void(std::string peer, std::string prefix, Reply<control::v1::BgpExports>)>
      bgp_exports;
  std::function<void(Reply<control::v1::DumpBgpTableResponse>)> dump_bgp_table;
  std::function<void(std::string endpoint, Reply<control::v1::Dataplane>)> dataplane;
  std::function<void(Reply<control::v1::Diagnosis>)> diagnose;
};

class ControlServer {
 public:
  static Result<std::unique_ptr<ControlServer>> open(const std::string& socket_path,
                                                     ControlBackend backend);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace margay::felix
