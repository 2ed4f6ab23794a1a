#include "tests/functional/support/leftovers.h"

#include "tests/functional/support/cluster.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include <sstream>

namespace margay::lab {

namespace json = boost::json;

namespace {

// The store of the node's agent is a file (MARGAY_DATASTORE).
std::string rows(const Node& node, const std::string& query) {
  return node.shell("sqlite3 -readonly \"${MARGAY_DATASTORE#sqlite://}\" \"" + query + "\"").out;
}

// "10.244.0.5 of net.c1", from the blocks as they are stored.
std::string allocations(const Node& node) {
  std::istringstream lines(
      rows(node, "SELECT json FROM objects WHERE kind LIKE '%/IPAMBlock' ORDER BY name"));
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    boost::system::error_code errc;
    const json::value block = json::parse(line, errc);
    const json::value* spec =
        errc || !block.is_object() ? nullptr : block.get_object().if_contains("spec");
    const json::value* list = spec != nullptr && spec->is_object()
                                  ? spec->get_object().if_contains("allocations")
                                  : nullptr;
    if (list == nullptr || !list->is_array()) {
      out += "a block that does not decode: " + line + "\n";
      continue;
    }
    std::size_t ordinal = 0;
    for (const json::value& item : list->get_array()) {
      if (!item.is_null()) {
        out += std::string(spec->get_object().at("cidr").as_string()) + " + " +
               std::to_string(ordinal) + "\n";
      }
      ++ordinal;
    }
  }
  return out;
}

// Interfaces come and go under new numbers; everything else of a line counts.
constexpr const char* kLinks =
    "ip -o link | sed 's/^[0-9]*: //; s/@[^:]*:/:/; s/ qlen [0-9]*//' | sort";

}  // namespace

Traces traces_of(const Node& node) {
  Traces traces;
  const auto take = [&](const char* place, const std::string& script) {
    const ExecResult done = node.shell(script);
    traces[place] = done.ok() ? done.out : "cannot look: " + done.err;
  };
  take("links", kLinks);
  // Blocks and what peers told are the node's, not a container's; those of link-local addresses
  // come and go with their links, some time later.
  take("routes",
       "{ ip route show table all; ip -6 route show table all; } | grep -vE 'proto "
       "(91|92)|fe80::|ff00::' | sort");
  take("rules", "ip rule; ip -6 rule");
  take("neighbours", "ip neigh show nud permanent | sort");
  take("queues", "tc qdisc | sed 's/ [0-9a-f]*: dev/ dev/' | sort");
  // Words, as elements stand in any order; counters and the time that is left differ always.
  take("rule set",
       "nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//; s/expires [0-9a-z]+//' | "
       "tr ',{}' '\\n\\n\\n' | sed -E 's/^[ \\t]+//; s/[ \\t]+$//' | grep . | sort");
  take("iptables", "iptables-save 2>/dev/null | grep -v '^#' | sed 's/ \\[[0-9:]*\\]$//' | sort");
  traces["endpoints"] = rows(node,
                             "SELECT ns, name FROM objects WHERE kind LIKE '%/WorkloadEndpoint' OR "
                             "kind LIKE '%/IPAMHandle' ORDER BY 1, 2");
  traces["addresses"] = allocations(node);
  take("state directory",
       "find /var/lib/margay /run/margay -path /var/lib/margay/store -prune -o -type f -size +0 "
       "-print | sort");
  take("release journal", "cat /var/lib/margay/pending-releases 2>/dev/null || true");
  take("files of plugins",
       "find /var/lib/cni -type f ! -name last_reserved_ip.0 ! -name "
       "last_reserved_ip.1 ! -name lock 2>/dev/null | sort || true");
  return traces;
}

std::string difference(const Traces& before, const Traces& after) {
  std::string out;
  for (const auto& [place, text] : after) {
    const auto was = before.find(place);
    const std::string old = was == before.end() ? std::string() : was->second;
    if (old == text) {
      continue;
    }
    out += place + ":\n";
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      out += old.find(line + "\n") == std::string::npos ? "  + " + line + "\n" : "";
    }
    std::istringstream old_lines(old);
    for (std::string line; std::getline(old_lines, line);) {
      out += text.find(line + "\n") == std::string::npos ? "  - " + line + "\n" : "";
    }
  }
  return out;
}

}  // namespace margay::lab
