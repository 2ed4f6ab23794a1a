#pragma once
// HttpServer: GET requests on one address, for /metrics, /liveness and /readiness. Runs on the
// owner's loop; answers come from one function. Requests above 8 KiB and other methods are refused;
// an idle connection is closed after 30 s; at most 64 connections are served at once, more wait in
// the backlog.

#include "base/result.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace boost::asio {
class io_context;
}

namespace margay::felix {

struct HttpReply {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  using Answer = std::function<HttpReply(std::string_view target)>;

  // listen: "ADDRESS:PORT", an IPv6 address in brackets. The error names the address.
  static Result<std::unique_ptr<HttpServer>> open(boost::asio::io_context& io,
                                                  const std::string& listen,
                                                  Answer answer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace margay::felix
