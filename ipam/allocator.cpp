#include "ipam/allocator.h"

#include "base/stable_hash.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay::ipam {

namespace {

using api::Kind;
using datastore::Change;
using datastore::Object;

// Someone else was faster, or what we remember is gone: read again.
bool is_race(const Error& error) {
  return error.code == Errc::kConflict || error.code == Errc::kExists ||
         error.code == Errc::kNotFound;
}

api::ResourceKey block_key(const Prefix& cidr) {
  return {Kind::kIPAMBlock, {}, block_name(cidr)};
}

api::Resource block_resource(const Prefix& cidr, const std::string& affinity) {
  api::Resource resource;
  resource.metadata.name = block_name(cidr);
  resource.spec = make_block(cidr, affinity);
  return resource;
}

api::Resource with_state(api::Resource affinity, api::AffinityState state) {
  std::get<api::BlockAffinity>(affinity.spec).state = state;
  return affinity;
}

Result<std::vector<StoredResource>> list_blocks(datastore::Store& store) {
  const auto listing = store.list({.kind = Kind::kIPAMBlock, .ns = {}});
  if (!listing) {
    return fail(listing.error(), "list blocks");
  }
  std::vector<StoredResource> blocks;
  for (const Object& object : listing->objects) {
    if (object.resource) {
      blocks.push_back(object.resource);
    }
  }
  return blocks;
}

// "pool blue 10.0.0.0/24: 4 of 4 blocks claimed, 256 addresses used"
std::string describe_use(const Pool& pool,
                         const std::vector<StoredResource>& blocks,
                         const Moment& now) {
  std::uint64_t claimed = 0;
  std::uint64_t used = 0;
  std::uint64_t cooling = 0;
  std::uint64_t reserved = 0;
  for (const StoredResource& stored : blocks) {
    const api::IPAMBlock& block = block_in(*stored);
    if (pool.spec.cidr.contains(block.cidr)) {
      ++claimed;
      used += used_count(block);
      cooling += block.released_at.size();
      reserved += reserved_count(block, now);
    }
  }
  return fmt::format(
      "pool \"{}\" {}: {} of {} blocks of /{} claimed, {} addresses used, {} released a moment "
      "ago, "
      "{} reserved",
      pool.name,
      pool.spec.cidr.str(),
      claimed,
      block_count(pool),
      pool.spec.block_size,
      used,
      cooling,
      reserved);
}

}  // namespace

Allocator::Allocator(datastore::Store& store, Environment environment)
    : store_(store), env_(std::move(environment)) {}

Result<StoredResource> Allocator::read(const api::ResourceKey& key) {
  auto object = store_.get(key);
  if (object && object->resource) {
    return object->resource;
  }
  if (object) {
    return fail(Errc::kInvalid,
                "{} is stored but invalid: {}",
                key.str(),
                object->invalid ? object->invalid->text : "no text");
  }
  if (object.error().code == Errc::kNotFound) {
    return StoredResource();
  }
  return fail(object.error(), "read {}", key.str());
}

Result<std::shared_ptr<const std::vector<Prefix>>> Allocator::read_reserved() {
  const auto listing = store_.list({.kind = Kind::kIPReservation, .ns = {}});
  if (!listing) {
    return fail(listing.error(), "list reservations");
  }
  auto reserved = std::make_shared<std::vector<Prefix>>();
  for (const Object& object : listing->objects) {
    // An invalid one keeps what its last valid version kept.
    const StoredResource& valid = object.resource ? object.resource : object.last_valid;
    if (valid) {
      const auto& cidrs = std::get<api::IPReservation>(valid->spec).reserved_cidrs;
      reserved->insert(reserved->end(), cidrs.begin(), cidrs.end());
    }
  }
  return std::shared_ptr<const std::vector<Prefix>>(std::move(reserved));
}

Result<Allocator::Setup> Allocator::read_setup() {
  Setup setup;
  const auto config = read({Kind::kIPAMConfiguration, {}, "default"});
  if (!config) {
    return fail(config.error());
  }
  if (*config) {
    setup.config = std::get<api::IPAMConfiguration>((*config)->spec);
  }
  const auto reserved = read_reserved();
  if (!reserved) {
    return fail(reserved.error());
  }
  setup.now = {env_.unix_now(), setup.config.ip_cooldown_s, *reserved};
  const auto listing = store_.list({.kind = Kind::kIPPool, .ns = {}});
  if (!listing) {
    return fail(listing.error(), "list pools");
  }
  for (const Object& object : listing->objects) {
    if (object.resource) {
      setup.pools.push_back({object.key.name, std::get<api::IPPool>(object.resource->spec)});
    }
  }
  const auto node = read({Kind::kNode, {}, env_.node.str()});
  if (!node) {
    return fail(node.error());
  }
  setup.node_labels = *node ? (*node)->metadata.labels : api::Labels();
  return setup;
}

Result<void> Allocator::choose_pools(Setup& setup, const AssignRequest& request) const {
  setup.eligible.clear();
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool v4 = family == Family::kIpv4;
    if ((v4 ? request.ipv4 : request.ipv6) == 0) {
      continue;
    }
    auto pools = eligible_pools(setup.pools,
                                {.family = family,
                                 .requested = v4 ? request.ipv4_pools : request.ipv6_pools,
                                 .node_labels = setup.node_labels,
                                 .namespace_labels = request.namespace_labels},
                                env_.match);
    if (!pools) {
      return fail(pools.error());
    }
    setup.eligible.insert(setup.eligible.end(), pools->begin(), pools->end());
  }
  return {};
}

Result<void> Allocator::reload_block(const Prefix& cidr) {
  const auto block = read(block_key(cidr));
  if (!block) {
    return fail(block.error());
  }
  if (*block && block_in(**block).affinity == host_affinity(env_.node)) {
    own_[cidr] = *block;
  } else {
    own_.erase(cidr);
  }
  return {};
}

Result<void> Allocator::load_own_blocks() {
  const auto listing = store_.list({.kind = Kind::kBlockAffinity, .ns = {}});
  if (!listing) {
    return fail(listing.error(), "list block affinities");
  }
  own_.clear();
  for (const Object& object : listing->objects) {
    if (!object.resource) {
      continue;
    }
    const auto& affinity = std::get<api::BlockAffinity>(object.resource->spec);
    if (affinity.node != env_.node) {
      continue;
    }
    auto loaded = affinity.state == api::AffinityState::kConfirmed ? reload_block(affinity.cidr)
                                                                   : finish_claim(*object.resource);
    if (!loaded) {
      return loaded;
    }
  }
  loaded_ = true;
  return {};
}

// Ends a claim that is pending: with the block ours and the affinity confirmed, or, when the block
// went to another node, without the affinity. A race leaves it to the next try.
Result<void> Allocator::finish_claim(const api::Resource& affinity) {
  const Prefix cidr = std::get<api::BlockAffinity>(affinity.spec).cidr;
  const std::string ours = host_affinity(env_.node);
  const auto block = read(block_key(cidr));
  if (!block) {
    return fail(block.error());
  }
  std::vector<Change> changes;
  if (!*block) {
    changes.push_back(datastore::Create{block_resource(cidr, ours)});
  } else if (!block_in(**block).affinity) {
    api::Resource adopted = **block;
    std::get<api::IPAMBlock>(adopted.spec).affinity = ours;
    changes.push_back(datastore::Update{std::move(adopted)});
  } else if (block_in(**block).affinity != ours) {
    const auto removed = store_.remove(affinity.key());
    return removed || is_race(removed.error()) ? Result<void>() : fail(removed.error());
  }
  if (std::get<api::BlockAffinity>(affinity.spec).state != api::AffinityState::kConfirmed) {
    changes.push_back(datastore::Update{with_state(affinity, api::AffinityState::kConfirmed)});
  }
  if (!changes.empty()) {
    const auto done = store_.commit(changes);
    if (!done && !is_race(done.error())) {
      return fail(done.error(), "claim block {}", cidr.str());
    }
    pass(env_.at_step, Step::kClaimConfirmed);
  }
  return reload_block(cidr);
}

// True when the block is ours afterwards.
Result<bool> Allocator::claim_block(const Prefix& cidr) {
  api::Resource affinity;
  affinity.metadata.name = affinity_name(env_.node, cidr);
  affinity.spec = api::BlockAffinity{
      .state = api::AffinityState::kPending, .node = env_.node, .cidr = cidr, .deleted = false};
  auto created = store_.create(affinity);
  if (!created && created.error().code != Errc::kExists) {
    return fail(created.error(), "claim block {}", cidr.str());
  }
  pass(env_.at_step, Step::kClaimPending);
  const auto stored = created ? Result<StoredResource>(created->resource) : read(affinity.key());
  if (!stored) {
    return fail(stored.error());
  }
  if (*stored) {
    if (auto done = finish_claim(**stored); !done) {
      return fail(done.error());
    }
  }
  return own_.contains(cidr);
}

// True when a block was claimed; false when there is none to claim or the limit is reached.
Result<bool> Allocator::claim_one(const Setup& setup, Family family) {
  const auto owned = std::ranges::count_if(
      own_, [family](const auto& entry) { return entry.first.family() == family; });
  const std::uint32_t limit = setup.config.max_blocks_per_host;
  if (!setup.config.auto_allocate_blocks || (limit != 0 && owned >= std::int64_t{limit})) {
    return false;
  }
  const auto blocks = store_.keys({.kind = Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error(), "list blocks");
  }
  std::unordered_set<std::string> taken;
  for (const api::ResourceKey& block : *blocks) {
    taken.insert(block.name);
  }
  for (const Pool& pool : setup.eligible) {
    if (pool.spec.cidr.family() != family) {
      continue;
    }
    for (unsigned tries = 0; tries < kMaxTries; ++tries) {
      const auto cidr = next_free_block(pool, env_.node, taken, *setup.now.reserved);
      if (!cidr) {
        break;
      }
      auto claimed = claim_block(*cidr);
      if (!claimed || *claimed) {
        return claimed;
      }
      taken.insert(block_name(*cidr));
      env_.back_off(tries + 1);
    }
  }
  return false;
}

// Where an address that is asked for by name is, if workloads may have it.
Result<Prefix> Allocator::explicit_block(const Setup& setup, const IpAddr& addr) {
  const Pool* pool = pool_of(setup.pools, addr);
  if (pool == nullptr) {
    return fail(Errc::kInvalid, "address {}: outside every pool", addr.str());
  }
  if (pool->spec.disabled) {
    return fail(Errc::kInvalid, "address {}: pool \"{}\" is disabled", addr.str(), pool->name);
  }
  const auto& uses = pool->spec.allowed_uses;
  if (std::ranges::find(uses, api::AllowedUse::kWorkload) == uses.end()) {
    return fail(
        Errc::kInvalid, "address {}: pool \"{}\" is not for workloads", addr.str(), pool->name);
  }
  return block_cidr(*pool, addr);
}

Result<AssignView> Allocator::make_view(const AssignRequest& request, const Setup& setup) {
  AssignView view;
  view.now = setup.now;
  auto handle = read({Kind::kIPAMHandle, {}, request.holder.handle_id});
  if (!handle) {
    return fail(handle.error());
  }
  view.handle = std::move(*handle);
  if (request.addresses.empty()) {
    for (const auto& entry : own_) {
      view.blocks.push_back(entry.second);
    }
    return view;
  }
  std::set<Prefix> wanted;
  for (const IpAddr& addr : request.addresses) {
    const auto cidr = explicit_block(setup, addr);
    if (!cidr) {
      return fail(cidr.error());
    }
    if (!wanted.insert(*cidr).second) {
      continue;
    }
    auto block = read(block_key(*cidr));
    if (!block) {
      return fail(block.error());
    }
    const std::string ours = host_affinity(env_.node);
    // One that nobody has is planned with as if it were ours: claim_planned() makes it so, once all
    // else is known to be well.
    if (!*block) {
      *block = std::make_shared<const api::Resource>(block_resource(*cidr, ours));
    }
    const auto& owner = block_in(**block).affinity;
    if (setup.config.strict_affinity && owner && *owner != ours) {
      return fail(Errc::kInvalid,
                  "address {}: block {} belongs to {}, and strictAffinity forbids to borrow",
                  addr.str(),
                  cidr->str(),
                  *owner);
    }
    view.blocks.push_back(std::move(*block));
  }
  return view;
}

// The blocks that a plan would make. True: there were some, and the plan is out of date.
Result<bool> Allocator::claim_planned(const AssignPlan& planned) {
  bool claimed = false;
  for (const Change& change : planned.changes) {
    const auto* created = std::get_if<datastore::Create>(&change);
    if (created == nullptr || created->resource.kind() != Kind::kIPAMBlock) {
      continue;
    }
    claimed = true;
    if (auto done = claim_block(block_in(created->resource).cidr); !done) {
      return fail(done.error());
    }
  }
  return claimed;
}

// The blocks of all nodes: our own first, the others from a start that differs per node.
Result<AssignView> Allocator::borrowing_view(const AssignRequest& request, const Setup& setup) {
  auto view = make_view(request, setup);
  auto blocks = list_blocks(store_);
  if (!view || !blocks) {
    return fail(view ? blocks.error() : view.error());
  }
  std::erase_if(*blocks, [this](const StoredResource& block) {
    return own_.contains(block_in(*block).cidr);
  });
  if (!blocks->empty()) {
    const std::size_t start = stable_hash(env_.node.str()) % blocks->size();
    std::rotate(
        blocks->begin(), blocks->begin() + static_cast<std::ptrdiff_t>(start), blocks->end());
  }
  view->blocks.insert(view->blocks.end(), blocks->begin(), blocks->end());
  return view;
}

Result<AssignPlan> Allocator::plan(const AssignRequest& request, const Setup& setup) {
  const auto view = make_view(request, setup);
  if (!view) {
    return fail(view.error());
  }
  return plan_assign(*view, request, setup.eligible);
}

// Claims blocks until there is room, for each family as far as there are any: what one lacks may be
// borrowed.
Result<AssignPlan> Allocator::plan_with_claims(const AssignRequest& request, const Setup& setup) {
  auto planned = plan(request, setup);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto lacks = [family](const AssignPlan& so_far) {
      return (family == Family::kIpv4 ? so_far.missing_ipv4 : so_far.missing_ipv6) > 0;
    };
    while (planned && lacks(*planned)) {
      const auto claimed = claim_one(setup, family);
      if (!claimed) {
        return fail(claimed.error());
      }
      if (!*claimed) {
        break;
      }
      planned = plan(request, setup);
    }
  }
  return planned;
}

// Own blocks as remembered, own blocks as stored, claimed blocks, borrowed addresses, in this
// order.
Result<AssignPlan> Allocator::plan_with_room(const AssignRequest& request, const Setup& setup) {
  auto planned = plan(request, setup);
  if (!planned || planned->complete()) {
    return planned;
  }
  if (auto done = load_own_blocks(); !done) {
    return fail(done.error());
  }
  planned = plan_with_claims(request, setup);
  if (!planned || planned->complete()) {
    return planned;
  }
  const auto view = borrowing_view(request, setup);
  if (!view) {
    return fail(view.error());
  }
  if (!setup.config.strict_affinity) {
    planned = plan_assign(*view, request, setup.eligible);
    if (!planned || planned->complete()) {
      return planned;
    }
  }
  std::string use;
  for (const Pool& pool : setup.eligible) {
    use += (use.empty() ? "" : "; ") + describe_use(pool, view->blocks, setup.now);
  }
  return fail(
      Errc::kExhausted,
      "no address left for {} ipv4 and {} ipv6: {}; this node has {} blocks of at most {}{}",
      planned->missing_ipv4,
      planned->missing_ipv6,
      use,
      own_.size(),
      setup.config.max_blocks_per_host,
      setup.config.strict_affinity ? ", strictAffinity forbids to borrow" : "");
}

// The addresses and what is to be stored along with them.
Result<AssignPlan> Allocator::plan_all(const AssignRequest& request, const Companions& companions) {
  auto setup = read_setup();
  if (!setup) {
    return fail(setup.error());
  }
  if (auto chosen = choose_pools(*setup, request); !chosen) {
    return fail(chosen.error());
  }
  auto planned = plan_with_room(request, *setup);
  if (!planned || !companions) {
    return planned;
  }
  auto more = companions(planned->addresses);
  if (!more) {
    return fail(more.error());
  }
  std::ranges::move(*more, std::back_inserter(planned->changes));
  return planned;
}

Result<Allocator::Assigned> Allocator::assign(const AssignRequest& request,
                                              const Companions& companions) {
  Error last;
  for (unsigned attempt = 0; attempt < kMaxTries; ++attempt) {
    if (attempt > 0) {
      env_.back_off(attempt);
    }
    if (attempt > 0 || !loaded_) {
      if (auto loaded = load_own_blocks(); !loaded) {
        return fail(loaded.error());
      }
    }
    auto planned = plan_all(request, companions);
    if (!planned) {
      return fail(planned.error());
    }
    const auto claimed = claim_planned(*planned);
    if (!claimed) {
      return fail(claimed.error());
    }
    if (*claimed) {
      last = {Errc::kConflict, "blocks were lost to other nodes", 0};
      continue;
    }
    pass(env_.at_step, Step::kAssignPlanned);
    const auto done = store_.commit(planned->changes);
    if (done) {
      remember(*done);
      return Assigned{planned->addresses, done->back().revision};
    }
    if (!is_race(done.error())) {
      return fail(done.error(), "assign addresses");
    }
    last = done.error();
  }
  return fail(last, "assign addresses: gave up after {} tries", kMaxTries);
}

Moment Allocator::release_moment() {
  const auto config = read({Kind::kIPAMConfiguration, {}, "default"});
  return {env_.unix_now(),
          config && *config ? std::get<api::IPAMConfiguration>((*config)->spec).ip_cooldown_s
                            : api::IPAMConfiguration{}.ip_cooldown_s};
}

Result<ReleaseView> Allocator::release_view(const std::string& handle_id) {
  ReleaseView view;
  auto handle = read({Kind::kIPAMHandle, {}, handle_id});
  if (!handle) {
    return fail(handle.error());
  }
  view.handle = std::move(*handle);
  if (!view.handle) {
    return view;
  }
  for (const auto& entry : std::get<api::IPAMHandle>(view.handle->spec).blocks) {
    auto block = read(block_key(entry.first));
    if (!block) {
      return fail(block.error());
    }
    if (*block) {
      view.blocks.push_back(std::move(*block));
    }
  }
  view.now = release_moment();
  return view;
}

Result<std::vector<IpAddr>> Allocator::release(const std::string& handle_id,
                                               const HolderMatch& match,
                                               const Companions& companions) {
  Error last;
  for (unsigned attempt = 0; attempt < kMaxTries; ++attempt) {
    if (attempt > 0) {
      env_.back_off(attempt);
    }
    const auto view = release_view(handle_id);
    if (!view) {
      return fail(view.error());
    }
    ReleasePlan planned = plan_release(*view, handle_id, match);
    if (companions) {
      auto more = companions(planned.addresses);
      if (!more) {
        return fail(more.error());
      }
      // The caller's removals come first: nothing may point to an address that is free again.
      std::ranges::move(planned.changes, std::back_inserter(*more));
      planned.changes = std::move(*more);
    }
    if (planned.changes.empty()) {
      return planned.addresses;
    }
    pass(env_.at_step, Step::kReleasePlanned);
    const auto done = store_.commit(planned.changes);
    if (done) {
      remember(*done);
      return planned.addresses;
    }
    if (!is_race(done.error())) {
      return fail(done.error(), "release addresses of handle \"{}\"", handle_id);
    }
    last = done.error();
  }
  return fail(last, "release addresses: gave up after {} tries", kMaxTries);
}

// The block without the address, and the handle as it counts then. The block comes first: a handle
// may count too much for a moment, never too little.
Result<std::vector<Change>> Allocator::release_changes(const api::Resource& stored,
                                                       const IpAddr& addr,
                                                       const std::string& handle_id) {
  auto view = release_view(handle_id);
  if (!view) {
    return fail(view.error());
  }
  api::Resource changed = stored;
  auto& block = std::get<api::IPAMBlock>(changed.spec);
  ipam::release_address(block, addr, release_moment());
  std::vector<Change> changes;
  if (is_empty(block) && !block.affinity) {
    changes.push_back(datastore::Remove{
        changed.key(), datastore::Revision(std::stoull(stored.metadata.resource_version))});
  } else {
    changes.push_back(datastore::Update{changed});
  }
  std::erase_if(view->blocks, [&block](const StoredResource& other) {
    return block_in(*other).cidr == block.cidr;
  });
  view->blocks.push_back(std::make_shared<const api::Resource>(std::move(changed)));
  // A release that matches nothing mends the counts of the handle.
  auto mended =
      plan_release(*view, handle_id, [](const api::AllocationAttribute&) { return false; });
  std::ranges::move(mended.changes, std::back_inserter(changes));
  return changes;
}

Result<bool> Allocator::release_address(const IpAddr& addr,
                                        const api::AllocationAttribute& holder) {
  const auto blocks = list_blocks(store_);
  if (!blocks) {
    return fail(blocks.error());
  }
  const auto found = std::ranges::find_if(*blocks, [&addr](const StoredResource& block) {
    return block_in(*block).cidr.contains(addr);
  });
  if (found == blocks->end()) {
    return false;
  }
  const api::ResourceKey key = (*found)->key();
  for (unsigned attempt = 1; attempt <= kMaxTries; ++attempt) {
    const auto block = read(key);
    if (!block) {
      return fail(block.error());
    }
    const api::AllocationAttribute* seen = *block ? holder_of(block_in(**block), addr) : nullptr;
    if (seen == nullptr || *seen != holder) {
      return false;
    }
    const auto changes = release_changes(**block, addr, holder.handle_id);
    if (!changes) {
      return fail(changes.error());
    }
    const auto done = store_.commit(*changes);
    if (done) {
      remember(*done);
      return true;
    }
    if (!is_race(done.error())) {
      return fail(done.error(), "release address {}", addr.str());
    }
    env_.back_off(attempt);
  }
  return fail(Errc::kConflict, "release address {}: gave up after {} tries", addr.str(), kMaxTries);
}

Result<std::vector<IpAddr>> Allocator::held_by(const std::string& handle_id,
                                               const HolderMatch& match) {
  auto view = release_view(handle_id);
  if (!view) {
    return fail(view.error());
  }
  return plan_release(*view, handle_id, match).addresses;
}

Result<unsigned> Allocator::pool_length(const IpAddr& addr) {
  const auto setup = read_setup();
  if (!setup) {
    return fail(setup.error());
  }
  const Pool* pool = pool_of(setup->pools, addr);
  return pool == nullptr ? address_bits(addr.family()) : pool->spec.cidr.length();
}

Result<bool> Allocator::in_pool(const IpAddr& addr) {
  const auto setup = read_setup();
  if (!setup) {
    return fail(setup.error());
  }
  return pool_of(setup->pools, addr) != nullptr;
}

std::uint64_t Allocator::available(const Setup& setup, Family family) const {
  std::uint64_t count = 0;
  for (const auto& entry : own_) {
    const bool eligible = pool_of(setup.eligible, entry.first.addr()) != nullptr;
    if (eligible && entry.first.family() == family) {
      count += available_count(block_in(*entry.second), setup.now);
    }
  }
  return count;
}

Result<void> Allocator::claim_ahead(const AssignRequest& request) {
  // Below this many free addresses the next block is claimed.
  constexpr std::uint64_t kLowWater = 8;
  if (!loaded_) {
    if (auto loaded = load_own_blocks(); !loaded) {
      return loaded;
    }
  }
  auto setup = read_setup();
  if (!setup) {
    return fail(setup.error());
  }
  if (auto chosen = choose_pools(*setup, request); !chosen) {
    return fail(chosen.error());
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if ((family == Family::kIpv4 ? request.ipv4 : request.ipv6) == 0) {
      continue;
    }
    if (available(*setup, family) < kLowWater) {
      if (auto claimed = claim_one(*setup, family); !claimed) {
        return fail(claimed.error());
      }
    }
  }
  return {};
}

void Allocator::remember(const std::vector<Object>& objects) {
  for (const Object& object : objects) {
    if (!object.resource || object.key.kind != Kind::kIPAMBlock) {
      continue;
    }
    const api::IPAMBlock& block = block_in(*object.resource);
    if (block.affinity == host_affinity(env_.node)) {
      own_[block.cidr] = object.resource;
    }
  }
}

Result<void> release_affinities(datastore::Store& store, const NodeName& node) {
  const auto listing = store.list({.kind = Kind::kBlockAffinity, .ns = {}});
  if (!listing) {
    return fail(listing.error(), "list block affinities");
  }
  std::optional<Error> first;
  for (const Object& object : listing->objects) {
    if (!object.resource) {
      continue;
    }
    const auto& affinity = std::get<api::BlockAffinity>(object.resource->spec);
    if (affinity.node != node) {
      continue;
    }
    std::vector<Change> changes;
    const auto block = store.get(block_key(affinity.cidr));
    if (block && block->resource && block_in(*block->resource).affinity == host_affinity(node)) {
      if (is_empty(block_in(*block->resource))) {
        changes.push_back(datastore::Remove{block->key, block->revision});
      } else {
        api::Resource orphan = *block->resource;
        std::get<api::IPAMBlock>(orphan.spec).affinity.reset();
        changes.push_back(datastore::Update{std::move(orphan)});
      }
    }
    changes.push_back(datastore::Remove{object.key, object.revision});
    const auto done = store.commit(changes);
    if (!done && !first) {
      first = done.error();
    }
  }
  return first ? Result<void>(fail(*first, "release the blocks of node {}", node.str()))
               : Result<void>();
}

}  // namespace margay::ipam
