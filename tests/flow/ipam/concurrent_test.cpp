// Several processes assign and release over one SQLite file at once, two of them on each node, and
// one is killed: no address is given twice, and nothing but its last step is in doubt.

#include "datastore/store.h"
#include "ipam/allocator.h"

#include <doctest/doctest.h>

#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <set>
#include <thread>
#include <unistd.h>

namespace margay::ipam {
namespace {

constexpr unsigned kProcesses = 6;
constexpr unsigned kSteps = 60;
constexpr unsigned kVictim = 2;
constexpr unsigned kVictimSteps = 15;  // after these it is killed

// What a child reports, in order: it holds the address from kGiven until kTaken.
struct Note {
  enum class Kind : std::uint8_t { kGiven, kReleasing, kTaken };
  std::uint32_t process = 0;
  std::uint32_t address = 0;
  Kind kind = Kind::kGiven;
};

void note(int pipe, std::uint32_t process, Note::Kind kind, const IpAddr& addr) {
  const Note message{process, addr.v4_value(), kind};
  if (::write(pipe, &message, sizeof(message)) != sizeof(message)) {
    ::_exit(3);
  }
}

AssignRequest request_for(const std::string& handle) {
  AssignRequest request;
  request.holder = {handle, {}};
  request.ipv4 = 1;
  return request;
}

[[noreturn]] void child(const std::string& url, std::uint32_t number, int pipe) {
  std::minstd_rand random(number + 1);
  auto store = datastore::open_store(url);
  if (!store) {
    ::_exit(4);
  }
  Allocator allocator(
      **store,
      {.node = *NodeName::parse("node" + std::to_string(number / 2)),
       .match = [](std::string_view, const api::Labels&) { return true; },
       .unix_now = [] { return std::int64_t{0}; },
       .back_off =
           [&random](unsigned attempt) {
             std::this_thread::sleep_for(std::chrono::microseconds(random() % (attempt * 500UL)));
           }});
  std::vector<std::pair<std::string, IpAddr>> held;
  for (unsigned step = 0; number == kVictim || step < kSteps; ++step) {
    if (held.size() < 3 || (held.size() < 10 && random() % 2 == 0)) {
      const std::string handle = "net.p" + std::to_string(number) + "-" + std::to_string(step);
      const auto assigned = allocator.assign(request_for(handle), nullptr);
      if (!assigned) {
        std::fprintf(stderr, "assign: %s\n", assigned.error().text.c_str());
        ::_exit(5);
      }
      note(pipe, number, Note::Kind::kGiven, assigned->addresses[0]);
      held.emplace_back(handle, assigned->addresses[0]);
      continue;
    }
    const std::size_t i = random() % held.size();
    note(pipe, number, Note::Kind::kReleasing, held[i].second);
    const auto released = allocator.release(held[i].first, nullptr, nullptr);
    if (!released || released->size() != 1) {
      std::fprintf(stderr, "release: %s\n", released ? "nothing" : released.error().text.c_str());
      ::_exit(6);
    }
    note(pipe, number, Note::Kind::kTaken, held[i].second);
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
  }
  ::_exit(0);
}

struct Witness {
  std::map<std::uint32_t, std::uint32_t> holder;                 // address -> process, as reported
  std::set<std::pair<std::uint32_t, std::uint32_t>> in_release;  // may be somebody else's already
  unsigned victim_steps = 0;

  // A child tells what it got only after it got it, and that it releases before it does, so an
  // address that two hold at once by their own words was given twice.
  void see(const Note& message) {
    victim_steps += message.process == kVictim ? 1U : 0U;
    switch (message.kind) {
      case Note::Kind::kGiven: {
        const auto other = holder.find(message.address);
        CHECK((other == holder.end() || in_release.contains({message.address, other->second})));
        holder[message.address] = message.process;
        break;
      }
      case Note::Kind::kReleasing:
        in_release.emplace(message.address, message.process);
        break;
      case Note::Kind::kTaken:
        in_release.erase({message.address, message.process});
        // Somebody else may have it by now and have said so first.
        if (holder[message.address] == message.process) {
          holder.erase(message.address);
        }
        break;
    }
  }
};

std::map<std::uint32_t, std::string> stored_holders(datastore::Store& store) {
  std::map<std::uint32_t, std::string> out;
  const auto listing = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  REQUIRE(listing);
  for (const auto& object : listing->objects) {
    const auto& block = std::get<api::IPAMBlock>(object.resource->spec);
    REQUIRE(check_block(block));
    for (std::uint32_t i = 0; i < block_size(block); ++i) {
      const IpAddr addr = block.cidr.addr().add(i);
      if (const auto* holder = holder_of(block, addr)) {
        out[addr.v4_value()] = holder->handle_id;
      }
    }
  }
  return out;
}

TEST_SUITE_BEGIN("ipam.concurrent");

TEST_CASE("processes over one store, one killed: no address twice, none lost") {
  std::string pattern = std::filesystem::temp_directory_path() / "margay-ipam-XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(pattern.data());
  const std::string url = "sqlite://" + (directory / "margay.db").string();
  auto store = datastore::open_store(url);
  REQUIRE(store);
  api::Resource pool;
  pool.metadata.name = "blue";
  api::IPPool spec;
  spec.cidr = *Prefix::parse("10.0.0.0/25");
  spec.block_size = 28;  // 8 blocks of 16 for 60 addresses on 3 nodes: claims and borrowing
  pool.spec = spec;
  REQUIRE((*store)->create(pool));
  api::Resource config;
  config.metadata.name = "default";
  config.spec = api::IPAMConfiguration{.max_blocks_per_host = 2, .ip_cooldown_s = 0};
  REQUIRE((*store)->create(config));

  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  std::vector<pid_t> children;
  for (std::uint32_t number = 0; number < kProcesses; ++number) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(pipe[0]);
      child(url, number, pipe[1]);
    }
    children.push_back(pid);
  }
  ::close(pipe[1]);
  Witness witness;
  Note message;
  bool killed = false;
  while (::read(pipe[0], &message, sizeof(message)) == sizeof(message)) {
    witness.see(message);
    if (!killed && witness.victim_steps >= kVictimSteps) {
      ::kill(children[kVictim], SIGKILL);
      killed = true;
    }
  }
  ::close(pipe[0]);
  for (std::uint32_t number = 0; number < kProcesses; ++number) {
    CAPTURE(number);
    int status = 0;
    REQUIRE(::waitpid(children[number], &status, 0) == children[number]);
    CHECK((number == kVictim ? WIFSIGNALED(status) : WIFEXITED(status)));
    CHECK((number == kVictim || WEXITSTATUS(status) == 0));
  }

  // What is stored is what the children hold by their own words; only the killed one's last step is
  // open.
  const auto stored = stored_holders(**store);
  const std::string victim = "net.p" + std::to_string(kVictim) + "-";
  unsigned in_doubt = 0;
  for (const auto& entry : stored) {
    const std::string& handle = entry.second;
    CAPTURE(handle);
    const bool known = witness.holder.contains(entry.first);
    in_doubt += !known && handle.starts_with(victim) ? 1U : 0U;
    CHECK((known || handle.starts_with(victim)));
  }
  for (const auto& [address, process] : witness.holder) {
    const bool is_stored = stored.contains(address);
    in_doubt += !is_stored && process == kVictim ? 1U : 0U;
    CHECK((is_stored || process == kVictim));
  }
  CHECK(in_doubt <= 1);
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::ipam
