#include "tests/functional/support/cluster.h"

#include "tests/lab/wait.h"

#include <boost/json.hpp>

#include <algorithm>
#include <csignal>
#include <future>
#include <sstream>

namespace margay::lab {
namespace {

namespace json = boost::json;

json::value parse_json(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  return error ? json::value() : value;
}

// The member at a path, or null.
json::value at(const json::value& value, const std::vector<std::string>& path) {
  const json::value* here = &value;
  for (const std::string& key : path) {
    here = here->is_object() ? here->as_object().if_contains(key) : nullptr;
    if (here == nullptr) {
      return {};
    }
  }
  return *here;
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(value.as_string().c_str()) : "";
}

std::uint64_t number_of(const json::value& value) {
  return value.is_number() ? value.to_number<std::uint64_t>() : 0;
}

// One object of `nft -j list ruleset` without what differs between equal kernels.
json::value without_incidentals(
    const json::value& value) {  // NOLINT(misc-no-recursion): as deep as the JSON
  if (value.is_array()) {
    json::array out;
    for (const json::value& item : value.as_array()) {
      out.push_back(without_incidentals(item));
    }
    return out;
  }
  if (!value.is_object()) {
    return value;
  }
  json::object out;
  for (const auto& member : value.as_object()) {
    const std::string key(member.key());
    if (key == "handle" || key == "packets" || key == "bytes" || key == "index" ||
        key == "expires") {
      continue;
    }
    if (key == "elem" && member.value().is_array()) {
      std::vector<std::string> items;
      for (const json::value& item : member.value().as_array()) {
        items.push_back(json::serialize(without_incidentals(item)));
      }
      std::ranges::sort(items);
      out[key] = json::value_from(items);
    } else {
      out[key] = without_incidentals(member.value());
    }
  }
  return out;
}

}  // namespace

std::string sorted_lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  std::ranges::sort(lines);
  std::string out;
  for (const std::string& line : lines) {
    out += line + "\n";
  }
  return out;
}

ExecResult Cluster::ctl_on(const std::string& node,
                           std::vector<std::string> arguments,
                           const std::string& input) {
  arguments.insert(arguments.begin(), "margayctl");
  ExecOptions options;
  options.input = input;
  options.timeout = std::chrono::seconds(60);
  return lab_.node(node).exec(arguments, options);
}

std::string Cluster::apply(const std::string& yaml) {
  const ExecResult done = ctl({"apply", "-f", "-"}, yaml);
  return done.ok() ? "" : fmt::format("exit {}: {}{}", done.rc, done.out, done.err);
}

std::string Cluster::remove(const std::string& yaml) {
  const ExecResult done = ctl({"delete", "-f", "-"}, yaml);
  return done.ok() ? "" : fmt::format("exit {}: {}{}", done.rc, done.out, done.err);
}

bool Cluster::ready(const std::string& node) {
  const ExecResult status = ctl_on(node, {"node", "status", "-o", "json"});
  const json::value ready = at(parse_json(status.out), {"agent", "ready"});
  return status.ok() && ready.is_bool() && ready.as_bool();
}

bool Cluster::wait_ready(const std::string& node, std::chrono::milliseconds timeout) {
  return wait_until([&] { return ready(node); }, timeout, std::chrono::milliseconds(50));
}

bool Cluster::all_sessions_up(const std::string& node) {
  const ExecResult peers = ctl_on(node, {"bgp", "peers", "-o", "json"});
  const json::value list = at(parse_json(peers.out), {"peers"});
  return peers.ok() && list.is_array() && !list.as_array().empty() &&
         std::ranges::all_of(list.as_array(), [](const json::value& peer) {
           return text_of(at(peer, {"state"})) == "Established";
         });
}

std::string Cluster::add_server(const std::string& node,
                                const PodSpec& spec,
                                const std::vector<Service>& services) {
  const auto pod = lab_.add_pod(node, spec);
  if (!pod) {
    return pod.error().text;
  }
  std::map<std::string, std::string> ports;
  for (const Service& service : services) {
    std::string& list = ports["--" + service.protocol];
    list += (list.empty() ? "" : ",") + std::to_string(service.port);
  }
  std::vector<std::string> argv{"margay-probe", "serve"};
  if (spec.ipv6) {
    argv.insert(argv.end(), {"--bind", "[::]"});
  }
  for (const auto& entry : ports) {
    argv.push_back(entry.first);
    argv.push_back(entry.second);
  }
  const auto process = lab_.node(spec.name).spawn("serve", argv);
  if (!process) {
    return process.error().text;
  }
  const bool listening = wait_until(
      [&] { return lab_.node(spec.name).read_log("serve") == "ready\n"; }, std::chrono::seconds(5));
  return listening ? ""
                   : spec.name +
                         ": the server does not listen: " + lab_.node(spec.name).read_log("serve");
}

std::set<Reach> Cluster::reach(const std::vector<std::string>& from,
                               const std::vector<std::string>& to,
                               const std::vector<Service>& services,
                               Family family,
                               std::chrono::milliseconds timeout) {
  const auto from_one = [&](const std::string& source, const std::string& protocol) {
    std::vector<std::string> argv{"margay-probe",
                                  "reach",
                                  "--protocol=" + protocol,
                                  fmt::format("--timeout={}ms", timeout.count())};
    std::map<std::string, Reach> by_target;
    for (const std::string& target : to) {
      for (const Service& service : services) {
        if (service.protocol == protocol) {
          const Pod& pod = lab_.pod(target);
          argv.push_back(family == Family::kIpv4
                             ? fmt::format("{}:{}", pod.address, service.port)
                             : fmt::format("[{}]:{}", pod.address6, service.port));
          by_target[argv.back()] = Reach{source, target, protocol, service.port};
        }
      }
    }
    std::set<Reach> passed;
    std::istringstream lines(by_target.empty() ? "" : lab_.node(source).exec(argv).out);
    for (std::string target, outcome; lines >> target >> outcome;) {
      if (outcome == "ok" && by_target.contains(target)) {
        passed.insert(by_target[target]);
      }
    }
    return passed;
  };
  std::vector<std::future<std::set<Reach>>> running;
  for (const std::string& source : from) {
    for (const char* protocol : {"tcp", "udp", "sctp"}) {
      running.push_back(std::async(std::launch::async, from_one, source, protocol));
    }
  }
  std::set<Reach> all;
  for (auto& one : running) {
    all.merge(one.get());
  }
  return all;
}

bool Cluster::connects(const std::string& from,
                       const std::string& target,
                       const std::string& protocol,
                       std::chrono::milliseconds timeout) {
  return lab_.node(from)
      .exec({"margay-probe",
             "connect",
             target,
             "--protocol=" + protocol,
             fmt::format("--timeout={}ms", timeout.count())})
      .ok();
}

std::optional<ProcessId> Cluster::start_stream(const std::string& from,
                                               const std::string& target,
                                               const std::string& role,
                                               const std::vector<std::string>& options) {
  std::vector<std::string> argv{"margay-probe", "stream", target, "--duration=0s"};
  argv.insert(argv.end(), options.begin(), options.end());
  const Node& node = lab_.node(from);
  std::error_code ignored;
  std::filesystem::remove(node.log(role), ignored);
  const auto process = node.spawn(role, argv);
  if (!process) {
    return std::nullopt;
  }
  const bool started = wait_until([&] { return node.read_log(role).starts_with("started"); },
                                  std::chrono::seconds(10));
  return started ? std::optional(*process) : std::nullopt;
}

std::optional<StreamReport> Cluster::end_stream(const std::string& from,
                                                const std::string& role,
                                                const ProcessId& process) {
  send_signal(process, SIGTERM);
  if (!wait_gone(process, std::chrono::seconds(10))) {
    return std::nullopt;
  }
  const std::string log = lab_.node(from).read_log(role);
  const auto begin = log.find('{');
  if (begin == std::string::npos) {
    return std::nullopt;
  }
  const json::value value = parse_json(log.substr(begin));
  const json::value gap = at(value, {"longest_gap_ms"});
  return StreamReport{number_of(at(value, {"sent"})),
                      number_of(at(value, {"received"})),
                      number_of(at(value, {"lost"})),
                      number_of(at(value, {"duplicates"})),
                      gap.is_number() ? gap.to_number<double>() : 0};
}

std::string Cluster::kernel_state(const std::string& node) {
  const json::value ruleset =
      parse_json(lab_.node(node).shell("nft -j list table inet margay").out);
  std::string lines;
  const json::value objects = at(ruleset, {"nftables"});
  std::string rules;  // in their order: it matters within a chain
  for (const json::value& object : objects.is_array() ? objects.as_array() : json::array()) {
    if (!at(object, {"metainfo"}).is_null()) {
      continue;
    }
    const std::string text = json::serialize(without_incidentals(object)) + "\n";
    (at(object, {"rule"}).is_null() ? lines : rules) += text;
  }
  std::string routes;
  for (const char* protocol : {"90", "91", "92"}) {
    routes += lab_.node(node).exec({"ip", "route", "show", "table", "all", "proto", protocol}).out;
    routes +=
        lab_.node(node).exec({"ip", "-6", "route", "show", "table", "all", "proto", protocol}).out;
  }
  // Rules of one chain stand together; chains are named in each rule, so sorting chains is a stable
  // sort by name.
  std::istringstream stream(rules);
  std::vector<std::pair<std::string, std::string>> by_chain;
  for (std::string line; std::getline(stream, line);) {
    by_chain.emplace_back(text_of(at(parse_json(line), {"rule", "chain"})), line);
  }
  std::ranges::stable_sort(by_chain, {}, &std::pair<std::string, std::string>::first);
  std::string ordered;
  for (const auto& entry : by_chain) {
    ordered += entry.second + "\n";
  }
  return sorted_lines(lines) + ordered + sorted_lines(routes);
}

}  // namespace margay::lab
