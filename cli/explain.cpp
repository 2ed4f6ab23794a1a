#include "cli/explain.h"

#include "cli/world.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace margay::cli {

namespace json = boost::json;
using policy::Endpoint;
using policy::Flow;
using policy::SideVerdict;
using policy::Step;

namespace {

// One end of the question: a known endpoint, or an address outside.
struct End {
  std::string title;
  const Endpoint* endpoint = nullptr;
  std::vector<IpAddr> addresses;
};

std::vector<IpAddr> addresses_of(const Endpoint& endpoint) {
  std::vector<IpAddr> out;
  for (const Prefix& prefix : endpoint.addresses) {
    out.push_back(prefix.addr());
  }
  return out;
}

End end_of(const Endpoint& endpoint) {
  return {endpoint.name, &endpoint, addresses_of(endpoint)};
}

Result<End> end_by_address(const policy::Evaluator& evaluator, const IpAddr& addr) {
  const policy::World& world = evaluator.world();
  for (const Endpoint& endpoint : world.endpoints) {
    if (std::ranges::find(endpoint.addresses, Prefix::host(addr)) != endpoint.addresses.end()) {
      return End{endpoint.name + " (" + addr.str() + ")", &endpoint, {addr}};
    }
  }
  const NodeName* node = evaluator.node_at(addr);
  const std::string what = node == nullptr ? "outside" : "host " + node->str();
  return End{addr.str() + " (" + what + ")", nullptr, {addr}};
}

Result<End> end_by_selector(const policy::Evaluator& evaluator, const std::string& text) {
  const auto selector = policy::Selector::parse(text);
  if (!selector) {
    return fail(Errc::kNotFound,
                "\"{}\": no such endpoint, and no address or selector ({})",
                text,
                selector.error().text);
  }
  std::vector<const Endpoint*> found;
  for (const Endpoint& endpoint : evaluator.world().endpoints) {
    if (evaluator.matches(*selector, endpoint)) {
      found.push_back(&endpoint);
    }
  }
  if (found.empty()) {
    return fail(Errc::kNotFound, "\"{}\" selects no endpoint", text);
  }
  const auto first = *std::ranges::min_element(found, {}, &Endpoint::name);
  End end = end_of(*first);
  end.title = fmt::format("{} (first of {} that match)", first->name, found.size());
  return end;
}

Result<End> find_end(const policy::Evaluator& evaluator, const std::string& text) {
  const policy::World& world = evaluator.world();
  const auto named = [&text](const Endpoint& endpoint) {
    return endpoint.name == text || endpoint.name == "default/" + text;
  };
  const auto endpoint = std::ranges::find_if(world.endpoints, named);
  if (endpoint != world.endpoints.end()) {
    return end_of(*endpoint);
  }
  if (const auto addr = IpAddr::parse(text)) {
    return end_by_address(evaluator, *addr);
  }
  const auto host = std::ranges::find(world.host_endpoints, text, &Endpoint::name);
  if (host != world.host_endpoints.end() && !host->addresses.empty()) {
    End end{"host endpoint " + host->name, nullptr, addresses_of(*host)};
    return end;
  }
  return end_by_selector(evaluator, text);
}

Result<api::Protocol> parse_protocol(const std::string& text) {
  for (const api::Protocol protocol :
       {api::kTcp, api::kUdp, api::kSctp, api::kIcmp, api::kIcmpv6, api::kUdpLite}) {
    const std::string name = api::to_string(protocol);
    const bool same = std::ranges::equal(name, text, [](unsigned char a, unsigned char b) {
      return std::tolower(a) == std::tolower(b);
    });
    if (same) {
      return protocol;
    }
  }
  unsigned number = 0;
  const auto [end, errc] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (errc != std::errc{} || end != text.data() + text.size() || number == 0 || number > 255) {
    return fail(Errc::kInvalid,
                "--protocol \"{}\": expected TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite or 1 to 255",
                text);
  }
  return api::Protocol{static_cast<std::uint8_t>(number)};
}

// A pair of addresses of one family, IPv4 first.
Result<std::pair<IpAddr, IpAddr>> pair_of(const End& source, const End& destination) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto of_family = [family](const IpAddr& addr) { return addr.family() == family; };
    const auto from = std::ranges::find_if(source.addresses, of_family);
    const auto to = std::ranges::find_if(destination.addresses, of_family);
    if (from != source.addresses.end() && to != destination.addresses.end()) {
      return std::pair(*from, *to);
    }
  }
  return fail(
      Errc::kInvalid, "{} and {} have no address of one family", source.title, destination.title);
}

std::string action_name(api::Action action) {
  switch (action) {
    case api::Action::kAllow:
      return "Allow";
    case api::Action::kDeny:
      return "Deny";
    case api::Action::kPass:
      return "Pass";
    case api::Action::kLog:
      return "Log";
  }
  return "";
}

std::string print_side(const char* title, const End& end, const SideVerdict& side) {
  std::string out = fmt::format("{:<8} {} ({})\n", title, verdict_word(side.allowed), end.title);
  for (const Step& step : side.path) {
    out += "         " + describe(step) + "\n";
  }
  return out;
}

json::object side_json(const SideVerdict& side) {
  json::array path;
  for (const Step& step : side.path) {
    json::object entry{{"why", step.why}};
    if (!step.tier.empty()) {
      entry["tier"] = step.tier;
    }
    if (step.policy) {
      entry["policy"] = step.policy->str();
    }
    if (step.rule) {
      entry["rule"] = *step.rule + 1;
    }
    if (step.action) {
      entry["action"] = action_name(*step.action);
    }
    path.push_back(std::move(entry));
  }
  return {{"verdict", verdict_word(side.allowed)}, {"path", std::move(path)}};
}

}  // namespace

std::string describe(const Step& step) {
  std::string line = step.tier.empty() ? std::string() : "tier " + step.tier + ": ";
  if (step.policy) {
    line += step.policy->str();
    if (step.rule) {
      line += fmt::format(" rule {}", *step.rule + 1);
    }
    line += ": ";
  }
  line += step.why;
  if (step.action) {
    line += ": " + action_name(*step.action);
  }
  return line;
}

const char* verdict_word(bool allowed) {
  return allowed ? "allow" : "deny";
}

std::string reason(const policy::Verdict& verdict) {
  const bool ingress = verdict.egress.allowed;
  const SideVerdict& side = ingress ? verdict.ingress : verdict.egress;
  return fmt::format("{}: {}",
                     ingress ? "ingress" : "egress",
                     side.path.empty() ? std::string() : describe(side.path.back()));
}

namespace {

// A question and what is known about it.
struct Explained {
  End source;
  End destination;
  Flow flow;
  policy::Verdict verdict;
  std::optional<policy::Verdict> staged;  // with what staged policies would do
  bool established = false;
  bool goes_on = false;  // it stands, and would be refused as a new one
  std::vector<std::string> skipped;

  [[nodiscard]] const char* word() const { return verdict_word(verdict.allowed || goes_on); }
};

Result<Explained> ask(StoredWorld stored, const ExplainOptions& options) {
  const auto protocol = parse_protocol(options.protocol);
  if (!protocol) {
    return fail(protocol.error());
  }
  const policy::Evaluator evaluator(std::move(stored.world));
  auto source = find_end(evaluator, options.source);
  if (!source) {
    return fail(source.error(), "source");
  }
  auto destination = find_end(evaluator, options.destination);
  if (!destination) {
    return fail(destination.error(), "destination");
  }
  const auto addresses = pair_of(*source, *destination);
  if (!addresses) {
    return fail(addresses.error());
  }
  Explained out;
  out.flow.source = addresses->first;
  out.flow.destination = addresses->second;
  out.flow.protocol = *protocol;
  out.flow.destination_port = options.port.value_or(0);
  out.flow.destination_name = options.domain_name;
  out.verdict = evaluator.verdict(out.flow);
  if (stored.staged) {
    out.staged = policy::Evaluator(std::move(*stored.staged)).verdict(out.flow);
  }
  out.established = options.established;
  // Only policy that ends connections reaches one that stands.
  out.goes_on = options.established && !out.verdict.allowed && !evaluator.reevaluated(out.flow);
  out.skipped = std::move(stored.skipped);
  // The names alone: the endpoints go with the evaluator.
  out.source = {std::move(source->title), nullptr, {}};
  out.destination = {std::move(destination->title), nullptr, {}};
  return out;
}

std::string as_json(const Explained& explained) {
  const auto sides = [](const policy::Verdict& verdict, const char* word) {
    return json::object{{"verdict", word},
                        {"egress", side_json(verdict.egress)},
                        {"ingress", side_json(verdict.ingress)}};
  };
  const Flow& flow = explained.flow;
  json::object out{{"source", flow.source.str()},
                   {"destination", flow.destination.str()},
                   {"protocol", api::to_string(flow.protocol)},
                   {"port", flow.destination_port},
                   {"established", explained.established}};
  for (auto& field : sides(explained.verdict, explained.word())) {
    out.insert(field);
  }
  if (explained.staged) {
    out["staged"] = sides(*explained.staged, verdict_word(explained.staged->allowed));
  }
  return json::serialize(out) + "\n";
}

std::string as_text(const Explained& explained) {
  const Flow& flow = explained.flow;
  const std::string port =
      flow.destination_port != 0 ? fmt::format(" port {}", flow.destination_port) : std::string();
  std::string out = fmt::format("{}  {} {} -> {} {}, {}{}\n",
                                explained.word(),
                                explained.source.title,
                                flow.source.str(),
                                explained.destination.title,
                                flow.destination.str(),
                                api::to_string(flow.protocol),
                                port);
  if (explained.established) {
    out += explained.goes_on ? "established: goes on, establishedConnections is Keep; a new one:\n"
                             : "established: as a new one:\n";
  }
  const auto sides = [&](const policy::Verdict& verdict) {
    out += print_side("egress", explained.source, verdict.egress);
    out += print_side("ingress", explained.destination, verdict.ingress);
  };
  sides(explained.verdict);
  if (explained.staged && *explained.staged == explained.verdict) {
    out += "staged policies would change nothing here\n";
  } else if (explained.staged) {
    out += fmt::format("with staged policies: {}\n", verdict_word(explained.staged->allowed));
    sides(*explained.staged);
  }
  for (const std::string& skipped : explained.skipped) {
    out += "not counted, stored but invalid: " + skipped + "\n";
  }
  return out;
}

}  // namespace

Result<std::string> explain(datastore::Store& store, const ExplainOptions& options) {
  auto stored = read_world(store);
  if (!stored) {
    return fail(stored.error());
  }
  const auto explained = ask(std::move(*stored), options);
  if (!explained) {
    return fail(explained.error());
  }
  return options.json ? as_json(*explained) : as_text(*explained);
}

}  // namespace margay::cli
