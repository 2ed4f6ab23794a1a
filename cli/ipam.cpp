#include "cli/ipam.h"

#include "cli/table.h"
#include "ipam/audit.h"
#include "ipam/block.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

namespace margay::cli {

namespace json = boost::json;
using datastore::Object;
using datastore::Store;

namespace {

struct BlockView {
  Prefix cidr;
  std::string pool;
  std::string affinity;
  std::uint64_t used = 0;
  std::uint64_t size = 0;
};
struct PoolView {
  std::string name;
  Prefix cidr;
  std::uint64_t reserved = 0;
  std::uint64_t blocks = 0;
  std::uint64_t used = 0;
};
struct NodeView {
  std::uint64_t blocks = 0;
  std::uint64_t size = 0;      // addresses of its blocks
  std::uint64_t used = 0;      // of them, by whomever
  std::uint64_t borrowed = 0;  // that it holds in blocks of others
};
struct View {
  std::vector<PoolView> pools;
  std::map<std::string, NodeView> nodes;
  std::vector<BlockView> blocks;
};

// How many addresses of the pool are reserved; CIDRs are disjoint or one holds the other.
std::uint64_t reserved_in(const Prefix& pool, const std::vector<Prefix>& reserved) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < reserved.size(); ++i) {
    const Prefix& cidr = reserved[i];
    if (cidr.contains(pool)) {
      return pool.size();
    }
    bool counted = !pool.contains(cidr);
    for (std::size_t j = 0; j < reserved.size() && !counted; ++j) {
      counted = i != j && reserved[j].contains(cidr) && (reserved[j] != cidr || j < i);
    }
    count += counted ? 0 : cidr.size();
  }
  return std::min(count, pool.size());
}

void count_holders(const api::IPAMBlock& block, View& view) {
  constexpr std::string_view kHost = "host:";
  const std::string owner = block.affinity.value_or("");
  if (owner.starts_with(kHost)) {
    NodeView& node = view.nodes[owner.substr(kHost.size())];
    ++node.blocks;
    node.size += block.allocations.size();
    node.used += ipam::used_count(block);
  }
  for (const auto& slot : block.allocations) {
    const std::string holder = slot && *slot < block.attributes.size()
                                   ? ipam::node_of(block.attributes[*slot])
                                   : std::string();
    if (!holder.empty() && owner != std::string(kHost) + holder) {
      ++view.nodes[holder].borrowed;
    }
  }
}

Result<View> read_view(Store& store) {
  const auto pools = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  if (!pools) {
    return fail(pools.error());
  }
  const auto blocks = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error());
  }
  const auto reservations = store.list({.kind = api::Kind::kIPReservation, .ns = {}});
  if (!reservations) {
    return fail(reservations.error());
  }
  std::vector<Prefix> reserved;
  for (const Object& object : reservations->objects) {
    if (object.resource) {
      const auto& cidrs = std::get<api::IPReservation>(object.resource->spec).reserved_cidrs;
      reserved.insert(reserved.end(), cidrs.begin(), cidrs.end());
    }
  }
  View view;
  for (const Object& object : pools->objects) {
    if (const auto* pool =
            object.resource ? std::get_if<api::IPPool>(&object.resource->spec) : nullptr) {
      view.pools.push_back({object.key.name, pool->cidr, reserved_in(pool->cidr, reserved), 0, 0});
    }
  }
  for (const Object& object : blocks->objects) {
    const auto* block =
        object.resource ? std::get_if<api::IPAMBlock>(&object.resource->spec) : nullptr;
    if (block == nullptr || block->deleted) {
      continue;
    }
    const std::uint64_t used = ipam::used_count(*block);
    count_holders(*block, view);
    const auto pool = std::ranges::find_if(view.pools, [&](const PoolView& candidate) {
      return candidate.cidr.contains(block->cidr);
    });
    if (pool != view.pools.end()) {
      ++pool->blocks;
      pool->used += used;
    }
    view.blocks.push_back({block->cidr,
                           pool == view.pools.end() ? "(none)" : pool->name,
                           block->affinity.value_or("-"),
                           used,
                           block->allocations.size()});
  }
  std::ranges::sort(view.blocks, {}, &BlockView::cidr);
  return view;
}

// "3 (0.1%)"
std::string share(std::uint64_t part, std::uint64_t whole) {
  return fmt::format(
      "{} ({:.1f}%)",
      part,
      whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string print_text(const View& view, const IpamShowOptions& options) {
  Table pools({"POOL", "CIDR", "BLOCKS", "ADDRESSES", "RESERVED", "IN USE"});
  for (const PoolView& pool : view.pools) {
    pools.add({pool.name,
               pool.cidr.str(),
               std::to_string(pool.blocks),
               std::to_string(pool.cidr.size()),
               std::to_string(pool.reserved),
               share(pool.used, pool.cidr.size())});
  }
  std::string out = pools.str();
  if (options.nodes) {
    Table table({"NODE", "BLOCKS", "IN USE", "FREE", "BORROWED"});
    for (const auto& [name, node] : view.nodes) {
      table.add({name,
                 std::to_string(node.blocks),
                 share(node.used, node.size),
                 std::to_string(node.size - node.used),
                 std::to_string(node.borrowed)});
    }
    out += "\n" + table.str();
  }
  if (options.blocks) {
    Table table({"BLOCK", "POOL", "AFFINITY", "IN USE", "FREE"});
    for (const BlockView& block : view.blocks) {
      table.add({block.cidr.str(),
                 block.pool,
                 block.affinity,
                 share(block.used, block.size),
                 std::to_string(block.size - block.used)});
    }
    out += "\n" + table.str();
  }
  return out;
}

std::string print_json(const View& view) {
  json::array pools;
  for (const PoolView& pool : view.pools) {
    pools.push_back(json::object{{"name", pool.name},
                                 {"cidr", pool.cidr.str()},
                                 {"blocks", pool.blocks},
                                 {"addresses", pool.cidr.size()},
                                 {"reserved", pool.reserved},
                                 {"used", pool.used}});
  }
  json::array nodes;
  for (const auto& [name, node] : view.nodes) {
    nodes.push_back(json::object{{"name", name},
                                 {"blocks", node.blocks},
                                 {"size", node.size},
                                 {"used", node.used},
                                 {"borrowed", node.borrowed}});
  }
  json::array blocks;
  for (const BlockView& block : view.blocks) {
    blocks.push_back(json::object{{"cidr", block.cidr.str()},
                                  {"pool", block.pool},
                                  {"affinity", block.affinity},
                                  {"used", block.used},
                                  {"size", block.size}});
  }
  return json::serialize(json::object{{"pools", std::move(pools)},
                                      {"nodes", std::move(nodes)},
                                      {"blocks", std::move(blocks)}}) +
         "\n";
}

struct Owner {
  Prefix block;
  std::string affinity;
  bool allocated = false;
  std::string handle;
  std::map<std::string, std::string> attributes;
};

Result<Owner> find_owner(Store& store, const IpAddr& addr) {
  const auto blocks = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error());
  }
  for (const Object& object : blocks->objects) {
    const auto* block =
        object.resource ? std::get_if<api::IPAMBlock>(&object.resource->spec) : nullptr;
    if (block == nullptr || !block->cidr.contains(addr)) {
      continue;
    }
    Owner owner{block->cidr, block->affinity.value_or("-"), false, {}, {}};
    const auto ordinal = addr.offset_from(block->cidr.addr());
    const auto slot = ordinal && *ordinal < block->allocations.size() ? block->allocations[*ordinal]
                                                                      : std::nullopt;
    if (slot && *slot < block->attributes.size()) {
      owner.allocated = true;
      owner.handle = block->attributes[*slot].handle_id;
      owner.attributes = block->attributes[*slot].secondary;
    }
    return owner;
  }
  return fail(Errc::kNotFound, "{} is in no block", addr.str());
}

std::string print_owner(const IpAddr& addr, const Owner& owner, bool as_json) {
  if (as_json) {
    json::object attributes;
    for (const auto& [key, value] : owner.attributes) {
      attributes.emplace(key, value);
    }
    return json::serialize(json::object{{"ip", addr.str()},
                                        {"block", owner.block.str()},
                                        {"affinity", owner.affinity},
                                        {"allocated", owner.allocated},
                                        {"handle", owner.handle},
                                        {"attributes", std::move(attributes)}}) +
           "\n";
  }
  std::string out = fmt::format("{} is {} (block {}, affinity {})\n",
                                addr.str(),
                                owner.allocated ? "in use" : "free",
                                owner.block.str(),
                                owner.affinity);
  if (owner.allocated) {
    out += fmt::format("  handle     {}\n", owner.handle);
    for (const auto& [key, value] : owner.attributes) {
      out += fmt::format("  {:<10} {}\n", key, value);
    }
  }
  return out;
}

}  // namespace

Result<std::string> ipam_show(Store& store, const IpamShowOptions& options) {
  if (!options.address.empty()) {
    const auto addr = IpAddr::parse(options.address);
    if (!addr) {
      return fail(addr.error(), "--ip");
    }
    const auto owner = find_owner(store, *addr);
    if (!owner) {
      return fail(owner.error());
    }
    return print_owner(*addr, *owner, options.json);
  }
  const auto view = read_view(store);
  if (!view) {
    return fail(view.error());
  }
  return options.json ? print_json(*view) : print_text(*view, options);
}

}  // namespace margay::cli
