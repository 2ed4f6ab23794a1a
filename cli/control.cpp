#include "cli/control.h"

#include "api/proto/control.grpc.pb.h"
#include "base/ip_addr.h"
#include "cli/control_print.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace margay::cli {

namespace v1 = margay::control::v1;

namespace {

constexpr std::chrono::seconds kDeadline{5};
constexpr int kMaxMessageBytes = 64 << 20;

std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Where margayd and margay-bgpd listen, in the order in which they are tried.
std::vector<std::string> sockets_in(const std::string& run_dir) {
  return {run_dir + "/margayd.sock", run_dir + "/bgpd.sock"};
}

Error error_of(const grpc::Status& status, const std::string& socket) {
  switch (status.error_code()) {
    case grpc::StatusCode::NOT_FOUND:
      return {Errc::kNotFound, status.error_message(), 0};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {Errc::kTimeout, "no answer from the agent on " + socket + " within 5 s", 0};
    default:
      return {Errc::kInternal, "agent on " + socket + ": " + status.error_message(), 0};
  }
}

// One call: fills `response` or returns the error.
template <typename Request, typename Response>
Result<void> call(const ControlOptions& options,
                  grpc::Status (v1::Control::Stub::*method)(grpc::ClientContext*,
                                                            const Request&,
                                                            Response*),
                  const Request& request,
                  Response& response) {
  const std::vector<std::string> sockets = sockets_in(options.run_dir);
  for (const std::string& socket : sockets) {
    std::error_code errc;
    if (!std::filesystem::exists(socket, errc)) {
      continue;
    }
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    const auto channel =
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
    const auto stub = v1::Control::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (status.ok()) {
      return {};
    }
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) {
      return fail(error_of(status, socket));
    }
  }
  return fail(Errc::kUnavailable,
              "no agent answers on {} or {}: is margayd or margay-bgpd running? --run-dir chooses "
              "another directory",
              sockets[0],
              sockets[1]);
}

}  // namespace

Result<std::string> node_status(const ControlOptions& options) {
  v1::NodeStatus status;
  if (auto done = call(options, &v1::Control::Stub::GetStatus, v1::GetStatusRequest(), status);
      !done) {
    return fail(done.error());
  }
  return options.json ? to_json(status) : to_text(status, now_ms());
}

Result<std::string> bgp_peers(const ControlOptions& options) {
  v1::ListBgpPeersResponse response;
  if (auto done =
          call(options, &v1::Control::Stub::ListBgpPeers, v1::ListBgpPeersRequest(), response);
      !done) {
    return fail(done.error());
  }
  return options.json ? to_json(response) : to_text(response, now_ms());
}

Result<std::string> bgp_routes(const ControlOptions& options, const std::string& prefix) {
  if (const auto parsed = Prefix::parse(prefix); !prefix.empty() && !parsed) {
    return fail(parsed.error());
  }
  v1::ListBgpRoutesRequest request;
  request.set_prefix(prefix);
  v1::ListBgpRoutesResponse response;
  if (auto done = call(options, &v1::Control::Stub::ListBgpRoutes, request, response); !done) {
    return fail(done.error());
  }
  return options.json ? to_json(response) : to_text(response, !prefix.empty());
}

Result<std::string> bgp_neighbor(const ControlOptions& options, const std::string& peer) {
  v1::GetBgpNeighborRequest request;
  request.set_peer(peer);
  v1::BgpNeighbor neighbor;
  if (auto done = call(options, &v1::Control::Stub::GetBgpNeighbor, request, neighbor); !done) {
    return fail(done.error());
  }
  return options.json ? to_json(neighbor) : to_text(neighbor, now_ms());
}

Result<std::string> bgp_export(const ControlOptions& options,
                               const std::string& peer,
                               const std::string& prefix) {
  if (const auto parsed = Prefix::parse(prefix); !prefix.empty() && !parsed) {
    return fail(parsed.error());
  }
  v1::ExplainBgpExportRequest request;
  request.set_peer(peer);
  request.set_prefix(prefix);
  v1::BgpExports exports;
  if (auto done = call(options, &v1::Control::Stub::ExplainBgpExport, request, exports); !done) {
    return fail(done.error());
  }
  return options.json ? to_json(exports) : to_text(exports, !prefix.empty());
}

Result<std::string> bgp_dump_table(const ControlOptions& options) {
  v1::DumpBgpTableResponse response;
  if (auto done =
          call(options, &v1::Control::Stub::DumpBgpTable, v1::DumpBgpTableRequest(), response);
      !done) {
    return fail(done.error());
  }
  if (!response.error().empty()) {
    return fail(Error{Errc::kInternal, response.error(), 0});
  }
  return options.json ? to_json(response) : to_text(response);
}

Result<std::string> dataplane_show(const ControlOptions& options, const std::string& endpoint) {
  v1::ShowDataplaneRequest request;
  request.set_endpoint(endpoint);
  v1::Dataplane dataplane;
  if (auto done = call(options, &v1::Control::Stub::ShowDataplane, request, dataplane); !done) {
    return fail(done.error());
  }
  return options.json ? to_json(dataplane) : to_text(dataplane, !endpoint.empty());
}

Result<NodeDiagnosis> diagnose_node(const ControlOptions& options) {
  v1::Diagnosis diagnosis;
  if (auto done = call(options, &v1::Control::Stub::Diagnose, v1::DiagnoseRequest(), diagnosis);
      !done) {
    return fail(done.error());
  }
  NodeDiagnosis out{options.json ? to_json(diagnosis) : to_text(diagnosis)};
  for (const v1::Finding& finding : diagnosis.findings()) {
    out.healthy = out.healthy && finding.severity() != v1::Finding::ERROR;
  }
  return out;
}

}  // namespace margay::cli
