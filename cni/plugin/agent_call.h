#pragma once
// AgentCall: one exchange with the agent: connect, send a request, wait for the response, say that
// it has been printed. A connection that ends in between, as the agent was killed, is made again:
// every verb may be repeated, and the next agent answers.

#include "base/result.h"

#include <chrono>
#include <memory>
#include <string>

namespace margay::cni {

class Request;
class Response;

class AgentCall {
 public:
  AgentCall(std::string socket_path, std::chrono::milliseconds timeout);
  ~AgentCall();
  AgentCall(const AgentCall&) = delete;
  AgentCall& operator=(const AgentCall&) = delete;

  // kUnavailable: nobody answers at the socket, or the agent went and none came in time; kTimeout:
  // no response in time.
  [[nodiscard]] Result<Response> ask(const Request& request);
  // The response was printed: the agent need not undo what it made.
  void acknowledge();

 private:
  class Connection;
  Result<Response> ask_once(const std::string& bytes);

  std::string socket_path_;
  std::chrono::steady_clock::time_point deadline_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace margay::cni
