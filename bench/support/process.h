#pragma once
// Programs of others that a benchmark runs, and what they and sockets are told.

#include "base/ip_addr.h"
#include "base/result.h"
#include "kernel/netns.h"

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <vector>

namespace margay::bench {

// Runs a program to its end, in the namespaces of the calling thread; its exit status, -1 when it
// could not be started or was killed.
int run(const std::vector<std::string>& arguments);
// One after the other, up to the first that does not end with 0.
Result<void> run_all(const std::vector<std::vector<std::string>>& commands);
// The namespace as a path for such a program, as long as this process has it open.
std::string path_of(const NetNs& ns);
// Of an IPv4 address.
sockaddr_in socket_address(const IpAddr& addr, std::uint16_t port);

}  // namespace margay::bench
