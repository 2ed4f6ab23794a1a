#include "felix/connection_review.h"

#include "felix/render/layout.h"
#include "felix/render/table_walk.h"
#include "felix/worker.h"
#include "kernel/conntrack_kernel.h"
#include "kernel/link_kernel.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

using std::chrono::milliseconds;

namespace {

// Between two reviews: this long at least, and so many times what the last one took.
constexpr milliseconds kPause{100};
constexpr int kPauseFactor = 9;

struct Asked {
  nft::HookPoint hook = nft::HookPoint::kForward;
  WalkPacket packet;
};

// Nothing when the connection is none of policy's business here.
std::optional<Asked> question(const ReviewScope& scope, const Connection& connection) {
  const ConnectionTuple& original = connection.original;
  // Answers show where a translated connection really goes.
  const IpAddr& destination = connection.reply.source;
  const auto from = scope.local.find(original.source);
  const auto to = scope.local.find(destination);
  const auto in_scope = [&](const auto& place) {
    return place != scope.local.end() && (scope.all || scope.interfaces.contains(place->second));
  };
  if ((!in_scope(from) && !in_scope(to)) || scope.host_addresses.contains(original.source)) {
    return std::nullopt;
  }
  Asked asked;
  asked.hook = scope.host_addresses.contains(destination) ? nft::HookPoint::kInput
                                                          : nft::HookPoint::kForward;
  asked.packet = {.input = from == scope.local.end() ? IfName() : from->second,
                  .output = to == scope.local.end() ? IfName() : to->second,
                  .source = original.source,
                  .destination = destination,
                  .protocol = nft::Proto(original.protocol),
                  .source_port = original.source_port,
                  .destination_port = connection.reply.source_port,
                  .icmp_type = original.icmp_type,
                  .icmp_code = original.icmp_code};
  return asked;
}

bool names_any(const PolicyStack& stack, const std::set<api::ResourceKey>& policies) {
  return std::ranges::any_of(stack.rule_chains(),
                             [&](const api::ResourceKey& key) { return policies.contains(key); });
}

}  // namespace

Review review(const nft::Table& table,
              const ReviewScope& scope,
              std::span<const Connection> connections) {
  const TableWalk walk(table);
  Review out;
  for (const Connection& connection : connections) {
    const auto asked = question(scope, connection);
    if (!asked) {
      continue;
    }
    const bool allowed = walk.passes(asked->hook, asked->packet);
    const bool marked = (connection.mark.value() & kRefusedMark.value()) != 0;
    if (!allowed && !marked) {
      out.refuse.push_back(connection);
    } else if (allowed && marked) {
      out.allow.push_back(connection);
    }
  }
  return out;
}

struct ConnectionReview::Kernel {
  std::unique_ptr<ConntrackKernel> conntrack;
  std::unique_ptr<LinkKernel> links;

  Result<void> open() {
    if (conntrack && links) {
      return {};
    }
    auto opened = open_conntrack_kernel();
    if (!opened) {
      return fail(opened.error());
    }
    auto opened_links = open_link_kernel();
    if (!opened_links) {
      return fail(opened_links.error());
    }
    conntrack = std::move(*opened);
    links = std::move(*opened_links);
    return {};
  }
};

ConnectionReview::ConnectionReview(Environment environment)
    : environment_(std::move(environment)), kernel_(std::make_shared<Kernel>()) {}
ConnectionReview::~ConnectionReview() = default;

void ConnectionReview::note_policies(const CalcChanges& changes) {
  if (changes.settings) {
    everything_ = changes.settings->established == api::EstablishedConnections::kReevaluate;
  }
  for (const policy::PolicyPtr& policy : changes.set_policies) {
    if (policy->reevaluate) {
      policies_.insert(policy->key);
    } else {
      policies_.erase(policy->key);
    }
  }
}

void ConnectionReview::on_changes(const CalcChanges& changes,
                                  const std::map<api::ResourceKey, LocalEndpoint>& endpoints,
                                  bool table_changed,
                                  std::uint64_t generation) {
  // A policy that goes had its say until now: the endpoints that it leaves are reviewed, too.
  const bool leaves =
      std::ranges::any_of(changes.remove_policies,
                          [this](const api::ResourceKey& key) { return policies_.contains(key); });
  note_policies(changes);
  const auto add = [this](const LocalEndpoint& endpoint) {
    scope_.interfaces.insert(endpoint.interface);
  };
  table_changed = table_changed || changes.settings;
  if (table_changed && (everything_ || leaves || !policies_.empty())) {
    scope_.all = scope_.all || everything_;
    scope_.local.clear();
    for (const auto& [key, endpoint] : endpoints) {
      for (const IpAddr& addr : endpoint.addresses) {
        scope_.local.emplace(addr, endpoint.interface);
      }
      if (!everything_ &&
          (names_any(endpoint.ingress, policies_) || names_any(endpoint.egress, policies_))) {
        add(endpoint);
      }
    }
    for (const auto& [key, endpoint] : changes.set_endpoints) {
      if (leaves) {
        add(endpoint);
      }
    }
    due_ = generation;
  }
  for (const api::ResourceKey& key : changes.remove_policies) {
    policies_.erase(key);
  }
}

void ConnectionReview::on_enforced(std::uint64_t generation) {
  enforced_ = std::max(enforced_, generation);
  if (due_ && enforced_ >= *due_ && !busy_) {
    start();
  }
}

void ConnectionReview::start() {
  busy_ = true;
  due_.reset();
  started_ = Clock::now();
  environment_.worker.post([this, kernel = kernel_] {
    Result<std::vector<Connection>> connections = std::vector<Connection>();
    std::set<IpAddr> host_addresses;
    auto done = kernel->open();
    if (done) {
      connections = kernel->conntrack->dump();
      const auto addresses = kernel->links->addresses();
      done = !connections ? Result<void>(fail(connections.error()))
             : !addresses ? Result<void>(fail(addresses.error()))
                          : Result<void>();
      for (std::size_t i = 0; done && i < addresses->size(); ++i) {
        host_addresses.insert((*addresses)[i].address.addr);
      }
    }
    environment_.on_loop([this, done, connections, host_addresses = std::move(host_addresses)] {
      if (!done) {
        environment_.on_error(done.error());
        finish();
        return;
      }
      judge(*connections, host_addresses);
    });
  });
}

void ConnectionReview::judge(const std::vector<Connection>& connections,
                             std::set<IpAddr> host_addresses) {
  scope_.host_addresses = std::move(host_addresses);
  Review found = review(environment_.table(), scope_, connections);
  if (!due_) {  // else what is to be reviewed now is reviewed again with what came meanwhile
    scope_.all = false;
    scope_.interfaces.clear();
  }
  if (found.refuse.empty() && found.allow.empty()) {
    finish();
    return;
  }
  environment_.worker.post([this, kernel = kernel_, found = std::move(found)] {
    const auto refused = kernel->conntrack->set_mark(found.refuse, kRefusedMark, kRefusedMark);
    const auto allowed = kernel->conntrack->set_mark(found.allow, Mark(0), kRefusedMark);
    environment_.on_loop([this, refused, allowed, connections = found.refuse] {
      for (const auto* done : {&refused, &allowed}) {
        if (!*done) {
          environment_.on_error(done->error());
        }
      }
      environment_.on_refused(connections);
      finish();
    });
  });
}

void ConnectionReview::finish() {
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - started_);
  environment_.after(std::max(kPause, took * kPauseFactor), [this] {
    busy_ = false;
    on_enforced(enforced_);
  });
}

}  // namespace margay::felix
