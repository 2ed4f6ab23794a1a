// D5: one set element, end to end. A label of an endpoint on another node changes in the store;
// taken is the time from before the write to the kernel's event that the element is in or out of
// the set of a policy of this node: transaction, watch, calculation, rendering, netlink. Beside it
// an `nft` process that adds or deletes one element, and nothing more.

#include "api/resource.h"
#include "bench/support/agent_process.h"
#include "bench/support/results.h"
#include "datastore/store.h"
#include "kernel/netns.h"
#include "tests/support/cni_driver.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace margay {
namespace {

constexpr int kTimeoutMs = 5000;

// The kernel's nftables events of this namespace.
class NftEvents {
 public:
  static Result<NftEvents> open() {
    NftEvents events;
    events.socket_.reset(mnl_socket_open(NETLINK_NETFILTER));
    int group = NFNLGRP_NFTABLES;
    if (!events.socket_ || mnl_socket_bind(events.socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0 ||
        mnl_socket_setsockopt(
            events.socket_.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return fail_errno(errno, "listen to nftables events");
    }
    return events;
  }

  // Until an element of a set was added or deleted.
  Result<void> wait_for_element() {
    for (bool seen = false; !seen;) {
      pollfd ready{mnl_socket_get_fd(socket_.get()), POLLIN, 0};
      if (::poll(&ready, 1, kTimeoutMs) != 1) {
        return fail(Errc::kTimeout, "no set element changed within {} ms", kTimeoutMs);
      }
      const auto received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
      if (received < 0) {
        return fail_errno(errno, "read nftables events");
      }
      int left = static_cast<int>(received);
      const void* at = buffer_.data();
      for (const auto* message = static_cast<const nlmsghdr*>(at); mnl_nlmsg_ok(message, left);
           message = mnl_nlmsg_next(message, &left)) {
        const int type = NFNL_MSG_TYPE(message->nlmsg_type);
        seen = seen || type == NFT_MSG_NEWSETELEM || type == NFT_MSG_DELSETELEM;
      }
    }
    return {};
  }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  std::unique_ptr<mnl_socket, Close> socket_;
  std::array<char, 16384> buffer_{};
};

Result<api::Resource> resource(const std::string& yaml) {
  auto documents = api::decode_documents(yaml);
  return std::move(documents.front().resource);
}

Result<api::Resource> remote_endpoint() {
  return resource(R"({apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint,
    metadata: {name: peer, namespace: default, labels: {app: other}},
    spec: {node: elsewhere, orchestrator: cni, interfaceName: mgypeer, ipNetworks: [10.244.200.9/32],
           profiles: [kns.default]}})");
}

Result<api::Resource> admitting_policy() {
  return resource(R"({apiVersion: projectcalico.org/v3, kind: NetworkPolicy,
    metadata: {name: web, namespace: default},
    spec: {selector: app == 'web', ingress: [{action: Allow, source: {selector: app == 'peer'}}]}})");
}

Result<void> nft(const std::string& command) {
  std::string text = command;
  std::string program = "nft";
  std::array<char*, 3> argv{program.data(), text.data(), nullptr};
  pid_t pid = -1;
  int status = 0;
  if (::posix_spawnp(&pid, "nft", nullptr, nullptr, argv.data(), environ) != 0 ||
      ::waitpid(pid, &status, 0) != pid || status != 0) {
    return fail(Errc::kInternal, "nft {} failed", command);
  }
  return {};
}

class EndToEnd {
 public:
  explicit EndToEnd(datastore::Store& store) : store_(store) {}

  Result<void> prepare() {
    auto endpoint = remote_endpoint();
    auto policy = admitting_policy();
    if (!endpoint || !policy) {
      return fail(endpoint ? policy.error() : endpoint.error());
    }
    if (auto made = store_.create(*policy); !made) {
      return fail(made.error());
    }
    auto made = store_.create(*endpoint);
    if (!made) {
      return fail(made.error());
    }
    endpoint_ = *made->resource;
    return nft("add table inet peer; add set inet peer s { type ipv4_addr; }");
  }

  Result<void> listen() {
    auto opened = NftEvents::open();
    if (!opened) {
      return fail(opened.error());
    }
    events_.emplace(std::move(*opened));
    return {};
  }

  // Microseconds; the set is without the element before and after two calls.
  Result<double> ours() {
    std::string& label = endpoint_.metadata.labels["app"];
    label = label == "peer" ? "other" : "peer";
    Result<void> done;
    const double took = bench::time_us([&] {
      auto stored = store_.update(endpoint_);
      if (!stored) {
        done = fail(stored.error());
        return;
      }
      endpoint_ = *stored->resource;
      done = events_->wait_for_element();
    });
    return done ? Result<double>(took) : fail(done.error());
  }
  Result<double> theirs() {
    inside_ = !inside_;
    Result<void> done;
    const double took = bench::time_us([&] {
      done = nft(std::string(inside_ ? "add" : "delete") + " element inet peer s { 10.244.200.9 }");
    });
    if (done) {
      done = events_->wait_for_element();  // so that ours does not see it
    }
    return done ? Result<double>(took) : fail(done.error());
  }

 private:
  datastore::Store& store_;
  std::optional<NftEvents> events_;
  api::Resource endpoint_;
  bool inside_ = false;
};

// A pod that the policy selects, made as a runtime would.
Result<void> add_pod(const bench::Scratch& scratch, const NetNs& pod) {
  const auto answer = test::run_cni(test::CniCall{
      .plugin = bench::program_folder() / "margay",
      .environment = {{"CNI_COMMAND", "ADD"},
                      {"CNI_CONTAINERID", "web"},
                      {"CNI_NETNS",
                       "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(pod.fd())},
                      {"CNI_IFNAME", "eth0"},
                      {"CNI_PATH", bench::program_folder()}},
      .config = R"({"cniVersion":"1.0.0","name":"margay","type":"margay","run_dir":")" +
                scratch.path.string() +
                R"(","labels":{"app":"web"},"ipam":{"type":"margay-ipam"}})"});
  return answer.exit_code == 0 ? Result<void>()
                               : fail(Errc::kInternal, "ADD: {}{}", answer.out, answer.err);
}

Result<void> run_bench(const bench::Options& options) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "a network namespace for the node");
  }
  const bench::Scratch scratch;
  const auto agent = bench::AgentProcess::start(bench::program_folder(), scratch.path);
  if (!agent) {
    return fail(agent.error());
  }
  const auto pod = NetNs::create();
  auto store = datastore::open_store(bench::AgentProcess::datastore(scratch.path));
  if (!pod || !store) {
    return fail(pod ? store.error() : pod.error());
  }
  EndToEnd both(**store);
  if (auto done = both.prepare(); !done) {
    return done;
  }
  if (auto done = add_pod(scratch, *pod); !done) {
    return done;
  }
  // ADD has answered, so the kernel holds the policy: what comes now are the changes below.
  if (auto done = both.listen(); !done) {
    return done;
  }
  std::vector<double> ours;
  std::vector<double> theirs;
  const unsigned rounds = options.quick ? 20 : 200;
  constexpr unsigned kWarmUp = 4;
  for (unsigned round = 0; round < rounds + kWarmUp; ++round) {
    const auto mine = both.ours();
    const auto other = both.theirs();
    if (!mine || !other) {
      return fail(mine ? other.error() : mine.error());
    }
    if (round >= kWarmUp) {
      ours.push_back(*mine);
      theirs.push_back(*other);
    }
  }
  return bench::save(options.results,
                     {bench::Row{.id = "D5",
                                 .what = "a label in the store to its set element",
                                 .unit = "us",
                                 .ours = bench::summarize(ours),
                                 .peer = "nft process",
                                 .theirs = bench::summarize(theirs),
                                 .goal = "p99 < 10 ms",
                                 .limit = 10000.0,
                                 .compare = bench::Row::Compare::kOursP99}});
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  const auto options = margay::bench::parse_options(argc, argv);
  const auto done = options ? margay::run_bench(*options) : margay::fail(options.error());
  if (!done) {
    std::fprintf(stderr, "bench_agent: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
