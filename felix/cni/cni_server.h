#pragma once
// CniServer: listens on run_dir/cni.sock and passes each request to one function. Runs on the
// owner's loop.
//
// The socket is root's alone (mode 0600) and replaces a stale one of a killed agent; an agent that
// still answers there is an error. One request per connection, at most cni/wire.h's size; the
// answer of an ADD counts as taken when the plugin says so (CniResponse::on_taken). At most
// kMaxConnections are served at once, more wait in the backlog; a connection that sends nothing for
// kIdle is closed.

#include "base/result.h"
#include "felix/cni/endpoint_service.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace margay::felix {

class CniServer {
 public:
  static constexpr unsigned kMaxConnections = 1024;
  static constexpr std::chrono::seconds kIdle{10};
  using Handler = std::function<void(CniRequest, EndpointService::Reply)>;

  static Result<std::unique_ptr<CniServer>> open(boost::asio::io_context& io,
                                                 const std::string& path,
                                                 Handler handler);
  ~CniServer();
  CniServer(const CniServer&) = delete;
  CniServer& operator=(const CniServer&) = delete;

 private:
  struct State;
  explicit CniServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace margay::felix
