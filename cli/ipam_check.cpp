#include "cli/ipam_check.h"

#include "base/wall_time.h"
#include "cli/table.h"
#include "ipam/allocator.h"
#include "ipam/audit.h"
#include "ipam/survey.h"

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
using datastore::Store;

namespace {

std::int64_t unix_now() {
  return wall_now().time_since_epoch().count();
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
           .unix_now = unix_now,
           .back_off = [](unsigned attempt) {
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
  const auto input = ipam::survey(store, unix_now());
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
  if (!input->unreadable.empty() && user == input->endpoints.end() && !options.force) {
    return fail(Errc::kConflict,
                "{} may be the address of {}, which cannot be read; --force frees it all the same",
                addr->str(),
                fmt::format("{}", fmt::join(input->unreadable, ", ")));
  }
  for (const api::IPAMBlock& block : input->blocks) {
    if (const api::AllocationAttribute* holder = ipam::holder_of(block, *addr)) {
      const auto done = make_allocator(store).release_address(*addr, *holder);
      if (!done) {
        return fail(done.error());
      }
      return *done ? released_line(*addr)
                   : addr->str() +
                         " stays: it has another holder by now, or its block cannot be read\n";
    }
  }
  return addr->str() + " is free already\n";
}

Result<std::string> release_leaks(Store& store) {
  const auto input = ipam::survey(store, unix_now());
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
    const auto addr = IpAddr::parse(finding.object);
    const auto released =
        addr ? allocator.release_address(*addr, finding.holder) : fail(addr.error());
    if (!released) {
      return fail(released.error());
    }
    if (*released) {
      out += released_line(*addr);
    }
  }
  return out;
}

}  // namespace

Result<IpamCheck> ipam_check(Store& store, bool json) {
  const auto input = ipam::survey(store, unix_now());
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
