#include "tests/flow/ipam/store_checker.h"

#include "datastore/store.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>

#include <array>
#include <csignal>
#include <fcntl.h>
#include <map>
#include <poll.h>
#include <set>
#include <unistd.h>
#include <vector>

namespace margay::ipam {

namespace {

using datastore::Event;

class Rules {
 public:
  // Empty when the change breaks no rule.
  std::string see(const Event& event) {
    const std::string& name = event.object.key.name;
    if (event.type == Event::Type::kDelete) {
      return forget(event.object.key.kind, name);
    }
    if (!event.object.resource) {
      return name + " does not decode";
    }
    const api::Spec& spec = event.object.resource->spec;
    if (const auto* block = std::get_if<api::IPAMBlock>(&spec)) {
      return see_block(name, *block);
    }
    if (const auto* handle = std::get_if<api::IPAMHandle>(&spec)) {
      counts_[name] = handle->blocks;
      return check_counts(name);
    }
    if (const auto* affinity = std::get_if<api::BlockAffinity>(&spec)) {
      return see_affinity(name, *affinity);
    }
    return {};
  }

 private:
  struct Seen {
    Prefix cidr;
    std::vector<std::string> holders;  // by ordinal; empty: free
  };

  std::string forget(api::Kind kind, const std::string& name) {
    if (kind == api::Kind::kIPAMHandle) {
      counts_.erase(name);
      return check_counts(name);
    }
    if (kind == api::Kind::kBlockAffinity) {
      owners_.erase(name);
    }
    const auto block = blocks_.find(name);
    if (kind != api::Kind::kIPAMBlock || block == blocks_.end()) {
      return {};
    }
    for (const std::string& holder : block->second.holders) {
      if (!holder.empty()) {
        return name + " is removed while " + holder + " holds an address of it";
      }
    }
    blocks_.erase(block);
    return {};
  }

  std::string see_block(const std::string& name, const api::IPAMBlock& block) {
    Seen now{block.cidr, {}};
    for (const auto& slot : block.allocations) {
      if (slot && *slot >= block.attributes.size()) {
        return name + ": a slot points nowhere";
      }
      now.holders.push_back(slot ? block.attributes[*slot].handle_id : std::string());
    }
    if (now.holders.size() != std::size_t{1}
                                  << (address_bits(block.cidr.family()) - block.cidr.length())) {
      return name + ": has not a slot for each address";
    }
    std::multiset<std::uint32_t> free(block.unallocated.begin(), block.unallocated.end());
    for (std::uint32_t i = 0; i < now.holders.size(); ++i) {
      if (free.count(i) != (now.holders[i].empty() ? 1U : 0U)) {
        return fmt::format("{}: ordinal {} is {} times free, held by \"{}\"",
                           name,
                           i,
                           free.count(i),
                           now.holders[i]);
      }
    }
    return compare(name, now);
  }

  std::string compare(const std::string& name, const Seen& now) {
    const auto before = blocks_.find(name);
    for (const auto& [other, seen] : blocks_) {
      if (before == blocks_.end() && seen.cidr.overlaps(now.cidr)) {
        return name + " overlaps " + other;
      }
    }
    std::set<std::string> touched;
    for (std::size_t i = 0; i < now.holders.size(); ++i) {
      const std::string was = before == blocks_.end() ? "" : before->second.holders[i];
      const std::string& is = now.holders[i];
      if (was == is) {
        continue;
      }
      if (!was.empty() && !is.empty()) {
        return fmt::format("{}: ordinal {} went from {} to {}", name, i, was, is);
      }
      if (is.empty()) {
        --held_[was][now.cidr];
      } else {
        ++held_[is][now.cidr];
        touched.insert(is);
      }
    }
    blocks_[name] = now;
    for (const std::string& handle : touched) {
      if (std::string wrong = check_counts(handle); !wrong.empty()) {
        return wrong;
      }
    }
    return {};
  }

  std::string check_counts(const std::string& handle) {
    const auto counted = counts_.find(handle);
    for (const auto& [cidr, held] : held_[handle]) {
      const bool known = counted != counts_.end() && counted->second.contains(cidr);
      const std::uint32_t counts = known ? counted->second.at(cidr) : 0;
      if (held > counts) {
        return fmt::format(
            "{} counts {} in {}, which holds {} for it", handle, counts, cidr.str(), held);
      }
    }
    if (counted == counts_.end()) {
      held_.erase(handle);
    }
    return {};
  }

  std::string see_affinity(const std::string& name, const api::BlockAffinity& affinity) {
    owners_.erase(name);
    if (affinity.state != api::AffinityState::kConfirmed) {
      return {};
    }
    for (const auto& [other, cidr] : owners_) {
      if (cidr == affinity.cidr) {
        return other + " and " + name + " are both confirmed";
      }
    }
    owners_.emplace(name, affinity.cidr);
    return {};
  }

  std::map<std::string, Seen> blocks_;
  std::map<std::string, std::map<Prefix, std::uint32_t>> counts_;  // by handle
  std::map<std::string, std::map<Prefix, std::uint32_t>> held_;    // the same, by blocks
  std::map<std::string, Prefix> owners_;                           // by name of the affinity
};

// Until the parent has told the last revision, and that was seen.
std::string watch(const std::string& url, int told) {
  auto store = datastore::open_store(url);
  const auto listing = store ? (*store)->list({.kind = api::Kind::kIPPool, .ns = {}})
                             : Result<datastore::Listing>(fail(store.error()));
  if (!listing) {
    return listing.error().text;
  }
  auto watch = (*store)->watch({.kind = {}, .ns = {}}, listing->revision);
  if (!watch) {
    return watch.error().text;
  }
  Rules rules;
  std::size_t changes = 0;
  std::uint64_t last = 0;
  while (last == 0 || (*watch)->revision().value() < last) {
    std::array<pollfd, 2> ready{pollfd{(*watch)->descriptor(), POLLIN, 0}, pollfd{told, POLLIN, 0}};
    constexpr int kTickMs = 100;
    ::poll(ready.data(), last == 0 ? 2 : 1, kTickMs);
    if (last == 0 && ready[1].revents != 0 && ::read(told, &last, sizeof(last)) != sizeof(last)) {
      return "the test went away";
    }
    const auto events = (*watch)->take();
    if (!events) {
      return events.error().text;
    }
    for (const Event& event : *events) {
      ++changes;
      if (std::string wrong = rules.see(event); !wrong.empty()) {
        return fmt::format("at revision {}: {}", event.object.revision.value(), wrong);
      }
    }
  }
  return fmt::format("{} changes", changes);
}

}  // namespace

StoreChecker::StoreChecker(const std::string& url) {
  std::array<int, 2> to{};
  std::array<int, 2> from{};
  REQUIRE(::pipe2(to.data(), O_CLOEXEC) == 0);
  REQUIRE(::pipe2(from.data(), O_CLOEXEC) == 0);
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    ::close(to[1]);
    ::close(from[0]);
    const std::string verdict = watch(url, to[0]);
    (void)!::write(from[1], verdict.data(), verdict.size());
    ::_exit(0);
  }
  ::close(to[0]);
  ::close(from[1]);
  to_ = to[1];
  from_ = from[0];
}

StoreChecker::~StoreChecker() {
  ::close(to_);
  ::close(from_);
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string StoreChecker::end(std::uint64_t revision) {
  ::signal(SIGPIPE, SIG_IGN);  // it may have ended, with something to say
  (void)!::write(to_, &revision, sizeof(revision));
  std::string verdict;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(from_, buffer.data(), buffer.size())) > 0;) {
    verdict.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return verdict;
}

}  // namespace margay::ipam
