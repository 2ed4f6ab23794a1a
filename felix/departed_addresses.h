#pragma once
// DepartedAddresses: ends the tracked connections of addresses that leave this node's workloads.
//
// A tracked connection is accepted whatever policy says of new ones, so what an earlier owner was
// allowed would pass to the next one of its address. Once the kernel holds the change (nothing new
// can come in), the entries of the address are removed; until then the address is held: an endpoint
// that takes it over is not said to be in force. Single-threaded; the kernel is asked on the
// worker.

#include "felix/calc/calc_graph.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace margay::felix {

class Worker;

class DepartedAddresses {
 public:
  struct Environment {
    Worker& worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<void(const IpAddr&)> hold;
    std::function<void(const std::vector<IpAddr>&, std::size_t connections)> on_ended;
    std::function<void(const Error&)> on_error;
  };
  explicit DepartedAddresses(Environment environment);
  ~DepartedAddresses();
  DepartedAddresses(const DepartedAddresses&) = delete;
  DepartedAddresses& operator=(const DepartedAddresses&) = delete;

  // These changes are `generation`.
  void on_changes(const CalcChanges& changes, std::uint64_t generation);
  void on_enforced(std::uint64_t generation);

 private:
  struct Kernel;
  void release(const api::ResourceKey& endpoint,
               const std::vector<IpAddr>& kept,
               std::uint64_t generation);
  void depart(const IpAddr& addr, std::uint64_t generation);
  void start();

  Environment environment_;
  std::shared_ptr<Kernel> kernel_;                             // used on the worker alone
  std::map<api::ResourceKey, std::vector<IpAddr>> addresses_;  // of the workloads of this node
  std::map<IpAddr, std::uint64_t> departed_;  // with the generation that carries it
  std::uint64_t enforced_ = 0;
  bool busy_ = false;
};

}  // namespace margay::felix
