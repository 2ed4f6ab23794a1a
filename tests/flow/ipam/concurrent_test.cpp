// Several processes assign and release over one SQLite file at once, two of them on each node, and
// some are killed: no address is given twice, nothing but their last steps is in doubt, and what
// they left is found and freed.

#include "datastore/store.h"
#include "felix/address_collector.h"
#include "ipam/allocator.h"
#include "ipam/survey.h"
#include "tests/flow/ipam/store_checker.h"

#include <doctest/doctest.h>

#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
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

volatile std::sig_atomic_t told_to_end = 0;

// Until SIGTERM, which comes when there has been enough; then it gives back what it has.
[[noreturn]] void worker(const std::string& url, std::uint32_t number, int pipe) {
  ::signal(SIGTERM, [](int) { told_to_end = 1; });
  std::minstd_rand random(number + 1);
  auto store = datastore::open_store(url);
  if (!store) {
    ::_exit(4);
  }
  const std::string node = "node" + std::to_string(number % 16);
  Allocator allocator(
      **store,
      {.node = *NodeName::parse(node),
       .match = [](std::string_view, const api::Labels&) { return true; },
       .unix_now = [] { return std::int64_t{0}; },
       .back_off =
           [&random](unsigned attempt) {
             std::this_thread::sleep_for(std::chrono::microseconds(random() % (attempt * 500UL)));
           }});
  std::vector<std::pair<std::string, IpAddr>> held;
  for (unsigned step = 0; told_to_end == 0 || !held.empty(); ++step) {
    if (told_to_end == 0 && (held.empty() || (held.size() < 6 && random() % 2 == 0))) {
      const std::string handle = "net.p" + std::to_string(number) + "-" + std::to_string(step);
      AssignRequest request = request_for(handle);
      request.holder.secondary = {{"type", kWorkload}, {"node", node}, {"timestamp", "0"}};
      const auto assigned = allocator.assign(request, nullptr);
      if (!assigned && assigned.error().code == Errc::kUnavailable) {
        continue;  // a busy machine: 5 s were not enough for the lock, and nothing was changed
      }
      if (!assigned) {
        std::fprintf(stderr, "assign: %s\n", assigned.error().text.c_str());
        ::_exit(5);
      }
      note(pipe, number, Note::Kind::kGiven, assigned->addresses[0]);
      held.emplace_back(handle, assigned->addresses[0]);
      continue;
    }
    note(pipe, number, Note::Kind::kReleasing, held.back().second);
    auto released = allocator.release(held.back().first, nullptr, nullptr);
    for (unsigned tries = 0; tries < 100 && !released; ++tries) {
      if (released.error().code != Errc::kUnavailable) {
        break;
      }
      released = allocator.release(held.back().first, nullptr, nullptr);
    }
    if (!released || released->size() != 1) {
      ::_exit(6);
    }
    note(pipe, number, Note::Kind::kTaken, held.back().second);
    held.pop_back();
  }
  ::_exit(0);
}

// So many of them at once, one killed and another begun in its place from time to time.
class Crowd {
 public:
  Crowd(std::string url, std::size_t count) : url_(std::move(url)) {
    REQUIRE(::pipe(pipe_.data()) == 0);
    for (std::size_t i = 0; i < count; ++i) {
      begin();
    }
  }
  ~Crowd() { ::close(pipe_[0]); }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  bool read(Note& message) {
    return ::read(pipe_[0], &message, sizeof(message)) == sizeof(message);
  }
  void replace_one(std::minstd_rand& random) {
    const auto victim =
        std::next(children_.begin(), static_cast<std::ptrdiff_t>(random() % children_.size()));
    ::kill(victim->second, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(victim->second, &status, 0) == victim->second);
    CHECK(WIFSIGNALED(status));
    killed_.insert(victim->first);
    children_.erase(victim);
    begin();
  }
  void end() {
    ::close(std::exchange(pipe_[1], -1));
    for (const auto& [number, pid] : children_) {
      ::kill(pid, SIGTERM);
    }
  }
  void reap() {
    for (const auto& [number, pid] : children_) {
      CAPTURE(number);
      int status = 0;
      REQUIRE(::waitpid(pid, &status, 0) == pid);
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
    }
  }
  const std::set<std::uint32_t>& killed() const { return killed_; }

 private:
  void begin() {
    const std::uint32_t number = next_++;
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      ::close(pipe_[0]);
      worker(url_, number, pipe_[1]);
    }
    children_.emplace(number, pid);
  }

  std::string url_;
  std::array<int, 2> pipe_{};
  std::map<std::uint32_t, pid_t> children_;  // by number
  std::set<std::uint32_t> killed_;           // numbers
  std::uint32_t next_ = 100;                 // not kVictim
};

api::Resource named(const std::string& name, api::Spec spec) {
  api::Resource resource;
  resource.metadata.name = name;
  resource.spec = std::move(spec);
  return resource;
}

std::set<std::string> leaked(datastore::Store& store) {
  constexpr std::int64_t kLongAfter = 1'000'000;
  const auto input = survey(store, kLongAfter);
  REQUIRE(input);
  std::set<std::string> out;
  for (const Finding& finding : audit(*input)) {
    CAPTURE(finding.text);
    CHECK(finding.kind == FindingKind::kLeakedAddress);  // nothing contradicts itself
    out.insert(finding.holder.handle_id);
  }
  return out;
}

// What the collectors of all nodes free, when they look again after the time of grace.
void collect(datastore::Store& store) {
  TimePoint now{std::chrono::hours(1)};
  for (unsigned i = 0; i < 16; ++i) {
    std::vector<std::function<void()>> timers;
    felix::AddressCollector collector(
        {store,
         *NodeName::parse("node" + std::to_string(i)),
         [](const std::function<void()>& task) { task(); },
         [](const std::function<void()>& task) { task(); },
         [&timers](std::chrono::milliseconds, std::function<void()> task) {
           timers.push_back(std::move(task));
         },
         [&now] { return now; },
         [] { return std::int64_t{1'000'000}; },
         [](const std::string&) {}});
    collector.start();
    for (unsigned looks = 0; looks < 2; ++looks) {
      for (const auto& timer : std::exchange(timers, {})) {
        timer();
      }
      now += felix::AddressCollector::kGrace;
    }
  }
}

// Containers that live: what they have is nobody's to take.
std::set<std::string> live_containers(datastore::Store& store) {
  std::set<std::string> handles;
  for (unsigned i = 0; i < 20; ++i) {
    const std::string node = "node" + std::to_string(i % 16);
    Allocator allocator(store,
                        {.node = *NodeName::parse(node),
                         .match = [](std::string_view, const api::Labels&) { return true; },
                         .unix_now = [] { return std::int64_t{0}; },
                         .back_off = [](unsigned) {}});
    AssignRequest request = request_for("net.alive-" + std::to_string(i));
    request.holder.secondary = {{"type", kWorkload}, {"node", node}, {"timestamp", "0"}};
    REQUIRE(allocator.assign(request, [&](const std::vector<IpAddr>& addresses) {
      api::WorkloadEndpoint endpoint;
      endpoint.node = *NodeName::parse(node);
      endpoint.interface_name = *IfName::parse("mgy1");
      endpoint.ip_networks = {Prefix::host(addresses.front())};
      api::Resource resource = named("alive-" + std::to_string(i), endpoint);
      resource.metadata.ns = "default";
      return Result<std::vector<datastore::Change>>(
          std::vector<datastore::Change>{datastore::Create{resource}});
    }));
    handles.insert(request.holder.handle_id);
  }
  return handles;
}

TEST_CASE("32 processes, one killed every second: what those held is leaked, exactly, and freed") {
  std::string pattern = std::filesystem::temp_directory_path() / "margay-ipam-XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(pattern.data());
  const std::string url = "sqlite://" + (directory / "margay.db").string();
  auto store = datastore::open_store(url);
  REQUIRE(store);
  // 3,000 operations, or as many as a soak asks for. A short run is over in seconds, so that one is
  // killed at least after so many of them.
  const char* wanted = std::getenv("MARGAY_IPAM_OPERATIONS");
  const unsigned operations = wanted == nullptr ? 3000 : static_cast<unsigned>(std::stoul(wanted));
  // What the killed ones hold stays held to the end: a long run needs room for that.
  const bool is_long = operations > 10000;
  api::IPPool pool;
  pool.cidr = *Prefix::parse(is_long ? "10.0.0.0/17" : "10.0.0.0/22");
  pool.block_size = 28;
  REQUIRE((*store)->create(named("blue", pool)));
  REQUIRE((*store)->create(named(
      "default",
      api::IPAMConfiguration{.max_blocks_per_host = is_long ? 0U : 20U, .ip_cooldown_s = 0})));
  for (unsigned i = 0; i < 16; ++i) {
    REQUIRE((*store)->create(named("node" + std::to_string(i), api::Node{})));
  }

  constexpr unsigned kBetweenKills = 500;
  constexpr std::chrono::seconds kKillEvery{1};
  constexpr std::size_t kCrowd = 32;
  std::minstd_rand random(20261122);
  StoreChecker checker(url);
  Crowd crowd(url, kCrowd);
  Witness witness;
  Note message;
  unsigned done = 0;
  auto last_kill = std::chrono::steady_clock::now();
  for (bool ended = false; crowd.read(message);) {
    witness.see(message);
    if (message.kind == Note::Kind::kReleasing || ended) {
      continue;
    }
    ++done;
    const auto now = std::chrono::steady_clock::now();
    if (done >= operations) {
      crowd.end();
      ended = true;
    } else if (done % kBetweenKills == 0 || now - last_kill >= kKillEvery) {
      crowd.replace_one(random);
      last_kill = now;
    }
  }
  crowd.reap();
  const auto live = live_containers(**store);

  // Only the killed ones hold anything else, and that is what their words say, but for the last
  // step of each.
  const auto stored = stored_holders(**store);
  std::set<std::string> handles;
  unsigned in_doubt = 0;
  for (const auto& [address, handle] : stored) {
    if (live.contains(handle)) {
      continue;
    }
    CAPTURE(handle);
    const auto number = static_cast<std::uint32_t>(std::stoul(handle.substr(5)));
    CHECK(crowd.killed().contains(number));
    handles.insert(handle);
    in_doubt += witness.holder.contains(address) ? 0U : 1U;
  }
  for (const auto& [address, number] : witness.holder) {
    CHECK(crowd.killed().contains(number));
    in_doubt += stored.contains(address) ? 0U : 1U;
  }
  CHECK(in_doubt <= crowd.killed().size());
  CHECK_FALSE(handles.empty());
  CHECK(leaked(**store) == handles);

  collect(**store);
  std::set<std::string> left;
  for (const auto& entry : stored_holders(**store)) {
    left.insert(entry.second);
  }
  CHECK(left == live);
  CHECK(leaked(**store).empty());
  const auto end = (*store)->list({.kind = api::Kind::kIPPool, .ns = {}});
  REQUIRE(end);
  const std::string verdict = checker.end(end->revision.value());
  CHECK_MESSAGE(verdict.ends_with(" changes"), verdict);
  MESSAGE(operations << " operations, " << crowd.killed().size() << " killed, " << handles.size()
                     << " handles leaked, " << verdict << " checked");
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::ipam
