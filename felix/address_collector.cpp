#include "felix/address_collector.h"

#include "api/resource.h"
#include "ipam/allocator.h"
#include "ipam/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

namespace margay::felix {

namespace {

api::ResourceKey controllers_configuration() {
  return {api::Kind::kKubeControllersConfiguration, {}, "default"};
}

}  // namespace

void AddressCollector::on_object(const api::Resource& resource) {
  if (resource.key() == controllers_configuration()) {
    set_times(std::get<api::KubeControllersConfiguration>(resource.spec));
  }
}

void AddressCollector::on_deleted(const api::ResourceKey& key) {
  if (key == controllers_configuration()) {
    set_times({});
  }
}

void AddressCollector::set_times(const api::KubeControllersConfiguration& config) {
  const auto interval = std::chrono::seconds(
      config.reconciler_period_s.value_or(static_cast<std::uint32_t>(kInterval.count())));
  grace_ = std::chrono::seconds(
      config.leak_grace_period_s.value_or(static_cast<std::uint32_t>(kGrace.count())));
  if (std::exchange(interval_, std::max(interval, std::chrono::seconds(1))) != interval_ &&
      started_) {
    wait();
  }
}

void AddressCollector::start() {
  if (!std::exchange(started_, true)) {
    wait();
  }
}

void AddressCollector::wait() {
  environment_.after(interval_, [this, epoch = ++epoch_] {
    if (epoch == epoch_) {
      look();
    }
  });
}

void AddressCollector::look() {
  environment_.on_worker([this] {
    const auto input = ipam::survey(environment_.store, environment_.unix_now());
    // A store that is away says nothing about what is in use: what was seen stays as it is.
    auto seen = input ? std::optional(judge(*input)) : std::nullopt;
    environment_.on_loop([this, seen = std::move(seen)] {
      if (seen) {
        collect(due(*seen));
      }
      wait();
    });
  });
}

AddressCollector::Survey AddressCollector::judge(const ipam::AuditInput& input) {
  Survey survey;
  for (ipam::Finding& finding : ipam::audit(input)) {
    if (finding.kind == ipam::FindingKind::kLeakedAddress ||
        finding.kind == ipam::FindingKind::kYoungAddress) {
      survey.idle.push_back(std::move(finding));
    }
  }
  if (!input.unreadable.empty()) {
    return survey;  // it may be on any node, too
  }
  std::set<std::string> gone;
  for (const api::BlockAffinity& affinity : input.affinities) {
    gone.insert(affinity.node.str());
  }
  for (const ipam::Finding& finding : survey.idle) {
    gone.insert(ipam::node_of(finding.holder));
  }
  std::ranges::copy_if(gone, std::back_inserter(survey.gone_nodes), [&](const std::string& node) {
    return !node.empty() && !input.nodes.contains(node) && !input.nodes_in_use.contains(node);
  });
  return survey;
}

AddressCollector::Due AddressCollector::due(const Survey& survey) {
  const TimePoint now = environment_.now();
  Due out;
  std::map<std::string, TimePoint> gone_since;
  for (const std::string& node : survey.gone_nodes) {
    const auto known = gone_since_.find(node);
    const TimePoint since = known == gone_since_.end() ? now : known->second;
    gone_since.emplace(node, since);
    if (grace_.count() > 0 && now - since >= grace_) {
      out.nodes.push_back(node);
    }
  }
  gone_since_ = std::move(gone_since);
  std::vector<Suspect> suspects;
  for (const ipam::Finding& finding : survey.idle) {
    const std::string node = ipam::node_of(finding.holder);
    if (node != environment_.node.str() && !gone_since_.contains(node)) {
      continue;  // that node's own business
    }
    const auto known = std::ranges::find_if(suspects_, [&finding](const Suspect& suspect) {
      return suspect.finding.object == finding.object && suspect.finding.holder == finding.holder;
    });
    const TimePoint since = known == suspects_.end() ? now : known->since;
    suspects.push_back({finding, since});
    if (grace_.count() > 0 && now - since >= grace_) {
      out.addresses.push_back(finding);
    }
  }
  suspects_ = std::move(suspects);
  return out;
}

void AddressCollector::collect(const Due& due) {
  if (due.addresses.empty() && due.nodes.empty()) {
    return;
  }
  environment_.on_worker([this, due] {
    for (const ipam::Finding& finding : due.addresses) {
      free_address(finding);
    }
    for (const std::string& node : due.nodes) {
      const auto name = NodeName::parse(node);
      const auto released = name ? ipam::release_affinities(environment_.store, *name)
                                 : Result<void>(fail(name.error()));
      environment_.log(released ? fmt::format("blocks released: there is no node {} any more", node)
                                : fmt::format("blocks of node {} not released err=\"{}\"",
                                              node,
                                              released.error().text));
    }
  });
}

// Exactly what was judged: if the address was freed and given anew, its holder differs.
void AddressCollector::free_address(const ipam::Finding& finding) {
  ipam::Allocator allocator(environment_.store,
                            {.node = environment_.node,
                             .match = {},
                             .unix_now = environment_.unix_now,
                             .back_off = [](unsigned attempt) {
                               std::this_thread::sleep_for(std::chrono::milliseconds(attempt));
                             }});
  const auto addr = IpAddr::parse(finding.object);
  const auto released =
      addr ? allocator.release_address(*addr, finding.holder) : fail(addr.error());
  if (!released) {
    environment_.log(fmt::format(
        "leaked address not freed address={} err=\"{}\"", finding.object, released.error().text));
  } else if (*released) {
    environment_.log(
        fmt::format("leaked address freed address={} why=\"{}\"", finding.object, finding.text));
  }
}

}  // namespace margay::felix
