#pragma once
// One exchange with the agent: connect, send a request, wait for the response.

#include "base/result.h"

#include <chrono>
#include <string>

namespace margay::cni {

class Request;
class Response;

// kUnavailable: nobody answers at the socket; kTimeout: no response in time.
[[nodiscard]] Result<Response> call_agent(const std::string& socket_path,
                                          const Request& request,
                                          std::chrono::milliseconds timeout);

}  // namespace margay::cni
