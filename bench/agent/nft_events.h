#pragma once
// The kernel's nftables events in the network namespace of the thread that opens it.

#include "base/result.h"

#include <array>
#include <chrono>
#include <memory>
#include <vector>

struct mnl_socket;

namespace margay::bench {

class NftEvents {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<NftEvents> open();

  // Until an element of a set was added or deleted; an error after five seconds.
  Result<void> wait_for_element();
  // When the last transaction went in before there was none for as long as `quiet`. An error when
  // there is none within five seconds.
  Result<Clock::time_point> last_transaction(std::chrono::milliseconds quiet);

 private:
  // The types of the messages that come next; empty when none came in time.
  Result<std::vector<int>> take(std::chrono::milliseconds patience);

  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  std::unique_ptr<mnl_socket, Close> socket_;
  std::array<char, 16384> buffer_{};
};

}  // namespace margay::bench
