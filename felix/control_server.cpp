#include "felix/control_server.h"

#include "api/proto/control.grpc.pb.h"
#include "base/scope_exit.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <grpc/support/log.h>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace v1 = margay::control::v1;

namespace {

constexpr std::chrono::seconds kAnswerTimeout{2};
constexpr int kMaxMessageBytes = 64 << 20;

// Runs an asynchronous backend call and waits for its value.
template <typename T, typename Ask>
grpc::Status wait_for(Ask ask, T& out, const std::string& missing) {
  auto promise = std::make_shared<std::promise<std::optional<T>>>();
  auto future = promise->get_future();
  ask([promise](std::optional<T> value) { promise->set_value(std::move(value)); });
  if (future.wait_for(kAnswerTimeout) != std::future_status::ready) {
    return {grpc::StatusCode::UNAVAILABLE, "the agent is busy: no answer within 2 s"};
  }
  try {
    auto value = future.get();
    if (!value) {
      return {grpc::StatusCode::NOT_FOUND, missing};
    }
    out = std::move(*value);
    return grpc::Status::OK;
  } catch (const std::future_error&) {  // the loop ended with the question unanswered
    return {grpc::StatusCode::UNAVAILABLE, "the agent is stopping"};
  }
}

// The directory of the socket, made where it is not there: who asks has to reach the socket, which
// itself is the owner's alone.
Result<void> make_parent(const std::string& socket_path) {
  const std::filesystem::path parent = std::filesystem::path(socket_path).parent_path();
  std::error_code errc;
  const bool made = std::filesystem::create_directories(parent, errc);
  if (!errc && made) {
    constexpr auto kAnyoneEnters = static_cast<std::filesystem::perms>(0755);
    std::filesystem::permissions(parent, kAnyoneEnters, errc);
  }
  if (errc) {
    return fail_errno(errc.value(), "control socket {}: create {}", socket_path, parent.string());
  }
  return {};
}

// gRPC does not say why it cannot listen: what the kernel says to the same attempt.
Error why_not(const std::string& socket_path) {
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(addr.sun_path)) {
    return fail(Errc::kInvalid,
                "control socket {}: cannot listen: longer than {} bytes",
                socket_path,
                sizeof(addr.sun_path) - 1)
        .error;
  }
  socket_path.copy(std::begin(addr.sun_path), socket_path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const ScopeExit closing([fd] { ::close(fd); });
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): what bind() takes
  const auto* any = reinterpret_cast<const sockaddr*>(&addr);
  if (fd >= 0 && ::bind(fd, any, sizeof(addr)) == 0) {
    ::unlink(socket_path.c_str());
    return fail(Errc::kUnavailable, "control socket {}: cannot listen", socket_path).error;
  }
  return fail_errno(errno, "control socket {}: cannot listen", socket_path).error;
}

class Service final : public v1::Control::Service {
 public:
  explicit Service(ControlBackend backend) : backend_(std::move(backend)) {}

  grpc::Status GetStatus(grpc::ServerContext* /*context*/,
                         const v1::GetStatusRequest* /*request*/,
                         v1::NodeStatus* response) override {
    return backend_.status ? wait_for(backend_.status, *response, "no status") : no_agent();
  }
  grpc::Status ListBgpPeers(grpc::ServerContext* /*context*/,
                            const v1::ListBgpPeersRequest* /*request*/,
                            v1::ListBgpPeersResponse* response) override {
    return wait_for(backend_.bgp_peers, *response, "BGP is off");
  }
  grpc::Status ListBgpRoutes(grpc::ServerContext* /*context*/,
                             const v1::ListBgpRoutesRequest* request,
                             v1::ListBgpRoutesResponse* response) override {
    const auto ask = [&](auto reply) { backend_.bgp_routes(request->prefix(), std::move(reply)); };
    return wait_for(ask, *response, "no route to " + request->prefix());
  }
  grpc::Status GetBgpNeighbor(grpc::ServerContext* /*context*/,
                              const v1::GetBgpNeighborRequest* request,
                              v1::BgpNeighbor* response) override {
    const auto ask = [&](auto reply) { backend_.bgp_neighbor(request->peer(), std::move(reply)); };
    return wait_for(ask, *response, "no BGP peer \"" + request->peer() + "\"");
  }

  grpc::Status ExplainBgpExport(grpc::ServerContext* /*context*/,
                                const v1::ExplainBgpExportRequest* request,
                                v1::BgpExports* response) override {
    const auto ask = [&](auto reply) {
      backend_.bgp_exports(request->peer(), request->prefix(), std::move(reply));
    };
    return wait_for(ask, *response, "no BGP peer \"" + request->peer() + "\"");
  }
  grpc::Status DumpBgpTable(grpc::ServerContext* /*context*/,
                            const v1::DumpBgpTableRequest* /*request*/,
                            v1::DumpBgpTableResponse* response) override {
    return wait_for(backend_.dump_bgp_table, *response, "BGP is off");
  }

  grpc::Status ShowDataplane(grpc::ServerContext* /*context*/,
                             const v1::ShowDataplaneRequest* request,
                             v1::Dataplane* response) override {
    if (!backend_.dataplane) {
      return no_agent();
    }
    const auto ask = [&](auto reply) { backend_.dataplane(request->endpoint(), std::move(reply)); };
    return wait_for(ask, *response, "no workload \"" + request->endpoint() + "\" on this node");
  }

  grpc::Status Diagnose(grpc::ServerContext* /*context*/,
                        const v1::DiagnoseRequest* /*request*/,
                        v1::Diagnosis* response) override {
    return backend_.diagnose ? wait_for(backend_.diagnose, *response, "no diagnosis") : no_agent();
  }

 private:
  static grpc::Status no_agent() {
    return {grpc::StatusCode::NOT_FOUND,
            "this is margay-bgpd: it has no agent; see margayctl bgp peers"};
  }

  ControlBackend backend_;
};

}  // namespace

struct ControlServer::State {
  explicit State(ControlBackend backend) : service(std::move(backend)) {}
  Service service;
  std::unique_ptr<grpc::Server> server;
};

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlServer::~ControlServer() {
  state_->server->Shutdown(std::chrono::system_clock::now() + kAnswerTimeout);
}

Result<std::unique_ptr<ControlServer>> ControlServer::open(const std::string& socket_path,
                                                           ControlBackend backend) {
  if (auto made = make_parent(socket_path); !made) {
    return fail(made.error());
  }
  gpr_set_log_function([](gpr_log_func_args* /*args*/) {});  // errors are said below, in our words
  auto state = std::make_unique<State>(std::move(backend));
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 1);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  grpc::ResourceQuota quota("control");
  quota.SetMaxThreads(8);
  builder.SetResourceQuota(quota);
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (!state->server) {
    return fail(why_not(socket_path));
  }
  if (::chmod(socket_path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    return fail_errno(errno, "control socket {}", socket_path);
  }
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

}  // namespace margay::felix
