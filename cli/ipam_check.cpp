#include "cli/ipam_check.h"

#include "base/wall_time.h"
#include "cli/table.h"
#include "ipam/allocator.h"
#include "ipam/audit.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace margay::cli {

namespace json = boost::json;
using datastore::Object;
using datastore::Store;

namespace {

// Calls `take` with each valid object of the kind.
template <typename Spec, typename Take>
Result<void> for_each(Store& store, api::Kind kind, const Take& take) {
  const auto listing = store.list({.kind = kind, .ns = {}});
  if (!listing) {
    return fail(listing.error());
  }
  for (const Object& object : listing->objects) {
    if (object.resource) {
      take(object.key, std::get<Spec>(object.resource->spec));
    }
  }
  return {};
}

Result<ipam::AuditInput> read_everything(Store& store) {
  ipam::AuditInput input;
  input.unix_now = wall_now().time_since_epoch().count();
  // Blocks first: what is made meanwhile looks young, not leaked.
  for (const auto& done :
       {for_each<api::IPAMBlock>(store,
                                 api::Kind::kIPAMBlock,
                                 [&](const auto&, const auto&block) {
                                   if (!block.deleted) {
                                     input.blocks.push_back(block);
                                   }
                                 }),
        for_each<api::IPAMHandle>(
            store,
            api::Kind::kIPAMHandle,
            [&](const auto&, const auto&handle) { input.handles.push_back(handle); }),
        for_each<api::BlockAffinity>(
            store,
            api::Kind::kBlockAffinity,
            [&](const auto&, const auto&affinity) { input.affinities.push_back(affinity); }),
        for_each<api::IPPool>(
            store,
            api::Kind::kIPPool,
            [&](const auto&, const auto&pool) { input.pools.push_back(pool.cidr); }),
        for_each<api::Node>(store,
                            api::Kind::kNode,
                            [&](const auto&key, const auto&) { input.nodes.insert(key.name); }),
        for_each<api::WorkloadEndpoint>(
            store, api::Kind::kWorkloadEndpoint, [&](const auto&key, const auto&endpoint) {
              for (const Prefix& net : endpoint.ip_networks) {
                input.endpoints[net.addr()].push_back(key.ns + "/" + key.name);
              }
            })}) {
    if (!done) {
      return fail(done.error());
    }
  }
  return input;
}

std::string as_json(const std::vector<ipam::Finding>& findings) {
  json::array out;
  for (const ipam::Finding& finding : findings) {
    out.push_back(json::object{{"kind", ipam::to_string(finding.kind)},
                               {"object", finding.object},
                               {"why", finding.text},
                               {"problem", finding.is_problem()}});
  }
  return json::serialize(json::object{{"findings", std::move(out)}}) + "\n";
}

// It gives and takes nothing for a node of its own.
ipam::Allocator make_allocator(Store& store) {
  return {store,
          {.node = *NodeName::parse("margayctl"),
           .match = {},
           .unix_now = [] { return wall_now().time_since_epoch().count(); },
           .back_off =
               [](unsigned attempt) {
                 std::this_thread::sleep_for(std::chrono::milliseconds(attempt));
               }}};
}

std::string released_line(const IpAddr& addr) {
  return addr.str() + " released\n";
}

Result<std::string> release_one(Store& store, const IpamReleaseOptions& options) {
  const auto addr = IpAddr::parse(options.address);
  if (!addr) {
    return fail(addr.error(), "--ip");
  }
  const auto input = read_everything(store);
  if (!input) {
    return fail(input.error());
  }
  const auto user = input->endpoints.find(*addr);
  if (user != input->endpoints.end() && !options.force) {
    return fail(Errc::kConflict,
                "{} is the address of {}; --force frees it all the same",
                addr->str(),
                fmt::format("{}", fmt::join(user->second, ", ")));
  }
  const bool held = std::ranges::any_of(input->blocks, [&addr](const api::IPAMBlock& block) {
    return ipam::holder_of(block, *addr) != nullptr;
  });
  if (!held) {
    return addr->str() + " is free already\n";
  }
  if (auto done = make_allocator(store).release_address(*addr); !done) {
    return fail(done.error());
  }
  return released_line(*addr);
}

Result<std::string> release_leaks(Store& store) {
  const auto input = read_everything(store);
  if (!input) {
    return fail(input.error());
  }
  ipam::Allocator allocator = make_allocator(store);
  std::string out;
  for (const ipam::Finding& finding : ipam::audit(*input)) {
    if (finding.kind != ipam::FindingKind::kLeakedAddress) {
      continue;
    }
    // Exactly what was judged: if the address was freed and given anew, its holder differs.
    const auto released = allocator.release(
        finding.holder.handle_id,
        [&finding](const api::AllocationAttribute& holder) { return holder == finding.holder; },
        nullptr);
    if (!released) {
      return fail(released.error());
    }
    for (const IpAddr& addr : *released) {
      out += released_line(addr);
    }
  }
  return out;
}

}  // namespace

Result<IpamCheck> ipam_check(Store& store, bool json) {
  const auto input = read_everything(store);
  if (!input) {
    return fail(input.error());
  }
  const std::vector<ipam::Finding> findings = ipam::audit(*input);
  IpamCheck out;
  out.problems = static_cast<std::size_t>(std::ranges::count_if(
      findings, [](const ipam::Finding& finding) { return finding.is_problem(); }));
  if (json) {
    out.text = as_json(findings);
    return out;
  }
  if (!findings.empty()) {
    Table table({"FINDING", "OBJECT", "WHY"});
    for (const ipam::Finding& finding : findings) {
      table.add({ipam::to_string(finding.kind), finding.object, finding.text});
    }
    out.text = table.str();
  }
  out.text += fmt::format("{} blocks, {} handles, {} addresses of endpoints: {} problems\n",
                          input->blocks.size(),
                          input->handles.size(),
                          input->endpoints.size(),
                          out.problems);
  return out;
}

Result<std::string> ipam_release(Store& store, const IpamReleaseOptions& options) {
  if (options.leaks) {
    return release_leaks(store);
  }
  if (!options.address.empty()) {
    return release_one(store, options);
  }
  const auto released = make_allocator(store).release(options.handle, nullptr, nullptr);
  if (!released) {
    return fail(released.error());
  }
  std::string out;
  for (const IpAddr& addr : *released) {
    out += released_line(addr);
  }
  return out.empty() ? options.handle + " holds no address\n" : out;
}

}  // namespace margay::cli
