#include "cli/ipam.h"

#include "cli/table.h"

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
  std::uint64_t blocks = 0;
  std::uint64_t used = 0;
};
struct View {
  std::vector<PoolView> pools;
  std::vector<BlockView> blocks;
};

Result<View> read_view(Store& store) {
  const auto pools = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  if (!pools) {
    return fail(pools.error());
  }
  const auto blocks = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error());
  }
  View view;
  for (const Object& object : pools->objects) {
    if (const auto* pool =
            object.resource ? std::get_if<api::IPPool>(&object.resource->spec) : nullptr) {
      view.pools.push_back({object.key.name, pool->cidr, 0, 0});
    }
  }
  for (const Object& object : blocks->objects) {
    const auto* block =
        object.resource ? std::get_if<api::IPAMBlock>(&object.resource->spec) : nullptr;
    if (block == nullptr || block->deleted) {
      continue;
    }
    const auto used = static_cast<std::uint64_t>(std::ranges::count_if(
        block->allocations, [](const auto& slot) { return slot.has_value(); }));
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

std::string print_text(const View& view, bool blocks) {
  Table pools({"POOL", "CIDR", "BLOCKS", "ADDRESSES", "IN USE"});
  for (const PoolView& pool : view.pools) {
    pools.add({pool.name,
               pool.cidr.str(),
               std::to_string(pool.blocks),
               std::to_string(pool.cidr.size()),
               share(pool.used, pool.cidr.size())});
  }
  std::string out = pools.str();
  if (blocks) {
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
                                 {"used", pool.used}});
  }
  json::array blocks;
  for (const BlockView& block : view.blocks) {
    blocks.push_back(json::object{{"cidr", block.cidr.str()},
                                  {"pool", block.pool},
                                  {"affinity", block.affinity},
                                  {"used", block.used},
                                  {"size", block.size}});
  }
  return json::serialize(json::object{{"pools", std::move(pools)}, {"blocks", std::move(blocks)}}) +
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
  return options.json ? print_json(*view) : print_text(*view, options.blocks);
}

}  // namespace margay::cli
