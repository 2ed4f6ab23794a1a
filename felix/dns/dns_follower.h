#pragma once
// DnsFollower: reads the DNS answers that the table logs for it (felix/render/layout.h) and tells
// which addresses the names that policy asks for have led to.
//
// An answer reaches the workload while it is read here, so the very first packet to a new address
// may come too early and be dropped; TCP sends it again. (Holding the answer back needs nft_queue,
// and would stop DNS whenever the agent stops.) What was learnt is kept in the state directory, so
// that a restart forgets nothing. Single-threaded: runs on the owner's loop, files are written on
// the worker.

#include "base/result.h"
#include "felix/dns/domain_table.h"
#include "kernel/packet_log.h"

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace boost::asio {
class io_context;
}

namespace margay::felix {

class DnsFollower {
 public:
  struct Environment {
    boost::asio::io_context& io;
    std::string state_dir;
    std::uint16_t group = 0;  // of the log
    std::function<bool(const std::string& name)> wanted;
    std::function<void(const std::string& name, std::set<IpAddr> addresses)> on_domain;
    std::function<void()> on_changed;  // once after some on_domain
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(const std::string&)> warn;
  };
  // Tells at once what an earlier run learnt, as far as it has not ended.
  explicit DnsFollower(Environment environment);
  ~DnsFollower();
  DnsFollower(const DnsFollower&) = delete;
  DnsFollower& operator=(const DnsFollower&) = delete;

  // Begins to listen when somebody asks for names; stays. `extra` is added to every record's time.
  void update(bool needed, std::chrono::seconds extra);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace margay::felix
