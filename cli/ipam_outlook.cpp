#include "cli/ipam_outlook.h"

#include "base/wall_time.h"
#include "cli/table.h"
#include "cni/annotations.h"
#include "datastore/overlay_store.h"
#include "ipam/allocator.h"
#include "policy/selector.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace margay::cli {

namespace json = boost::json;

namespace {

// What is asked for, as far as it is the same for all families.
struct Question {
  NodeName node;
  api::Labels node_labels;
  api::Labels namespace_labels;
  std::vector<std::string> ipv4_pools;
  std::vector<std::string> ipv6_pools;
  std::vector<ipam::Pool> pools;
};

struct NextAddress {
  Family family = Family::kIpv4;
  std::optional<IpAddr> address;
  std::string block;
  std::string why;  // where it comes from, or why there is none
};
struct PoolVerdict {
  std::string pool;
  Prefix cidr;
  std::string why_not;  // empty: the request may have addresses of it
};
struct Outlook {
  std::vector<NextAddress> next;
  std::vector<PoolVerdict> pools;
};

// Null: it is not stored, or cannot be read.
Result<std::shared_ptr<const api::Resource>> find(datastore::Store& store,
                                                  const api::ResourceKey& key) {
  auto object = store.get(key);
  if (!object && object.error().code != Errc::kNotFound) {
    return fail(object.error());
  }
  return object ? object->resource : nullptr;
}

// Pools that are named on the command line stand for those of the pod, which win over those of its
// namespace.
Result<void> ask_for_pools(const IpamOutlookOptions& options,
                           const api::Resource* ns,
                           Question& question) {
  for (const std::string& wanted : options.pools) {
    const ipam::Pool* const found = ipam::find_pool(question.pools, wanted);
    if (found == nullptr) {
      return fail(Errc::kNotFound, "--pools: pool \"{}\" does not exist", wanted);
    }
    const bool v4 = found->spec.cidr.family() == Family::kIpv4;
    (v4 ? question.ipv4_pools : question.ipv6_pools).push_back(wanted);
  }
  if (ns == nullptr) {
    return {};
  }
  question.namespace_labels = ns->metadata.labels;
  const auto annotated = cni::read_annotations(ns->metadata.annotations);
  if (!annotated) {
    return fail(Errc::kInvalid, "namespace \"{}\": {}", options.ns, annotated.error().msg);
  }
  if (annotated->ipv4_pools && question.ipv4_pools.empty()) {
    question.ipv4_pools = *annotated->ipv4_pools;
  }
  if (annotated->ipv6_pools && question.ipv6_pools.empty()) {
    question.ipv6_pools = *annotated->ipv6_pools;
  }
  return {};
}

Result<Question> read_question(datastore::Store& store, const IpamOutlookOptions& options) {
  Question question;
  const auto name = NodeName::parse(options.node);
  if (!name) {
    return fail(name.error(), "--node");
  }
  question.node = *name;
  const auto node = store.get({api::Kind::kNode, {}, options.node});
  if (!node) {
    return node.error().code == Errc::kNotFound
               ? fail(Errc::kNotFound, "--node: node \"{}\" does not exist", options.node)
               : fail(node.error());
  }
  if (!node->resource) {
    return fail(Errc::kInvalid,
                "--node: node \"{}\" is stored but invalid: {}",
                options.node,
                node->invalid ? node->invalid->text : "no text");
  }
  question.node_labels = node->resource->metadata.labels;
  const auto pools = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  if (!pools) {
    return fail(pools.error());
  }
  for (const datastore::Object& object : pools->objects) {
    if (object.resource) {
      question.pools.push_back({object.key.name, std::get<api::IPPool>(object.resource->spec)});
    }
  }
  const auto ns = find(store, {api::Kind::kNamespace, {}, options.ns});
  if (!ns) {
    return fail(ns.error());
  }
  if (auto asked = ask_for_pools(options, ns->get(), question); !asked) {
    return fail(asked.error());
  }
  return question;
}

// Where an address of the overlay comes from, by who had its block before.
Result<void> trace(datastore::Store& store,
                   datastore::Store& overlay,
                   const Question& question,
                   NextAddress& next) {
  const auto blocks = overlay.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error());
  }
  const auto holds = [&next](const datastore::Object& object) {
    return object.resource && ipam::holder_of(ipam::block_in(*object.resource), *next.address);
  };
  const auto after = std::ranges::find_if(blocks->objects, holds);
  const ipam::Pool* pool = ipam::pool_of(question.pools, *next.address);
  if (after == blocks->objects.end() || pool == nullptr) {
    return fail(Errc::kConflict, "pools or blocks were changed meanwhile: ask again");
  }
  const auto before = find(store, after->key);
  if (!before) {
    return fail(before.error());
  }
  next.block = ipam::block_in(*after->resource).cidr.str();
  const auto affinity = [](const auto& stored) {
    return stored ? ipam::block_in(*stored).affinity.value_or("nobody") : std::string();
  };
  const std::string own = ipam::host_affinity(question.node);
  if (affinity(*before) == own) {
    next.why = fmt::format("its own block, pool {}", pool->name);
  } else if (affinity(after->resource) == own) {
    next.why = fmt::format("a block that it claims first, pool {}", pool->name);
  } else {
    next.why = fmt::format("borrowed of {}, pool {}", affinity(after->resource), pool->name);
  }
  return {};
}

// Dual stack is all or nothing, so each family is asked for by itself: one that has nothing does
// not hide what the other has.
Result<NextAddress> ask(datastore::Store& store, const Question& question, Family family) {
  datastore::OverlayStore overlay(store);
  ipam::Allocator allocator(overlay,
                            {.node = question.node,
                             .match = policy::selects,
                             .unix_now = [] { return wall_now().time_since_epoch().count(); },
                             .back_off = [](unsigned) {}});
  ipam::AssignRequest request;
  request.holder.handle_id = "margayctl.ipam-show";
  (family == Family::kIpv4 ? request.ipv4 : request.ipv6) = 1;
  request.ipv4_pools = question.ipv4_pools;
  request.ipv6_pools = question.ipv6_pools;
  request.namespace_labels = question.namespace_labels;
  NextAddress next{.family = family, .address = {}, .block = {}, .why = {}};
  const auto assigned = allocator.assign(request, nullptr);
  if (!assigned) {
    const Errc code = assigned.error().code;
    const bool is_answer =
        code == Errc::kExhausted || code == Errc::kInvalid || code == Errc::kNotFound;
    next.why = assigned.error().text;
    return is_answer ? Result<NextAddress>(next) : fail(assigned.error());
  }
  next.address = assigned->addresses.front();
  if (auto traced = trace(store, overlay, question, next); !traced) {
    return fail(traced.error());
  }
  return next;
}

PoolVerdict judge(const Question& question, const ipam::Pool& pool) {
  const bool v4 = pool.spec.cidr.family() == Family::kIpv4;
  const std::vector<std::string>& wanted = v4 ? question.ipv4_pools : question.ipv6_pools;
  PoolVerdict verdict{pool.name, pool.spec.cidr, {}};
  const bool asked = std::ranges::any_of(
      wanted, [&pool](const std::string& one) { return ipam::is_called(pool, one); });
  ipam::PoolQuery query;
  query.family = pool.spec.cidr.family();
  query.node_labels = question.node_labels;
  query.namespace_labels = question.namespace_labels;
  if (asked) {
    query.requested = {pool.name};
    const auto eligible = ipam::eligible_pools({pool}, query, policy::selects);
    verdict.why_not = eligible ? "" : eligible.error().text;
  } else if (!wanted.empty()) {
    verdict.why_not = "others are asked for by name";
  } else {
    verdict.why_not = ipam::why_not(pool, query, policy::selects);
  }
  return verdict;
}

std::string print_text(const Outlook& outlook) {
  Table next({"FAMILY", "NEXT ADDRESS", "BLOCK", "WHY"});
  std::string reasons;  // whole: a table would cut them
  for (const NextAddress& one : outlook.next) {
    const std::string family(family_name(one.family));
    if (one.address) {
      next.add({family, one.address->str(), one.block, one.why});
    } else {
      next.add({family, "none", "-", "see below"});
      reasons += fmt::format("{}: {}\n", family, one.why);
    }
  }
  Table pools({"POOL", "CIDR", "USABLE", "WHY NOT"});
  for (const PoolVerdict& pool : outlook.pools) {
    pools.add({pool.pool,
               pool.cidr.str(),
               pool.why_not.empty() ? "yes" : "no",
               pool.why_not.empty() ? "-" : pool.why_not});
  }
  return next.str() + (reasons.empty() ? "" : "\n" + reasons) + "\n" + pools.str(0);
}

std::string print_json(const Outlook& outlook, const IpamOutlookOptions& options) {
  json::array next;
  for (const NextAddress& one : outlook.next) {
    next.push_back(json::object{
        {"family", family_name(one.family)},
        {"address", one.address ? json::value(one.address->str()) : json::value(nullptr)},
        {"block", one.block},
        {"why", one.why}});
  }
  json::array pools;
  for (const PoolVerdict& pool : outlook.pools) {
    pools.push_back(json::object{{"name", pool.pool},
                                 {"cidr", pool.cidr.str()},
                                 {"usable", pool.why_not.empty()},
                                 {"why_not", pool.why_not}});
  }
  return json::serialize(json::object{{"node", options.node},
                                      {"namespace", options.ns},
                                      {"next", std::move(next)},
                                      {"pools", std::move(pools)}}) +
         "\n";
}

}  // namespace

Result<std::string> ipam_outlook(datastore::Store& store, const IpamOutlookOptions& options) {
  const auto question = read_question(store, options);
  if (!question) {
    return fail(question.error());
  }
  if (question->pools.empty()) {
    return fail(Errc::kNotFound, "there is no IPPool: no container gets an address");
  }
  Outlook outlook;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool has_pools = std::ranges::any_of(question->pools, [family](const ipam::Pool& pool) {
      return pool.spec.cidr.family() == family;
    });
    if (!has_pools) {
      continue;
    }
    auto next = ask(store, *question, family);
    if (!next) {
      return fail(next.error());
    }
    outlook.next.push_back(std::move(*next));
  }
  for (const ipam::Pool& pool : question->pools) {
    outlook.pools.push_back(judge(*question, pool));
  }
  return options.json ? print_json(outlook, options) : print_text(outlook);
}

}  // namespace margay::cli
