// Writers killed at any moment: what was acknowledged is there, a commit is whole or absent, and
// a watch of another process sees every change exactly once.

#include "tests/support/store_suite.h"
#include "tests/unit/datastore/sqlite_files.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <map>
#include <random>
#include <unistd.h>

namespace margay::test {

namespace {

using datastore::Change;
using datastore::Store;
using datastore::Update;

std::string left_of(int writer) {
  return fmt::format("w{}-left", writer);
}
std::string right_of(int writer) {
  return fmt::format("w{}-right", writer);
}

double order_of(const api::Resource& resource) {
  return std::get<api::Tier>(resource.spec).order.value_or(-1);
}

// In a process of its own: raises a pair of objects together, for ever, and acknowledges each
// commit on the pipe.
[[noreturn]] void write_pairs(const std::string& path, int writer, int pipe) {
  const auto store = sqlite_store(path, false);
  while (true) {
    const auto left = store->get(tier_key(left_of(writer)));
    const auto right = store->get(tier_key(right_of(writer)));
    if (!left || !right) {
      ::_exit(1);
    }
    Update first{*left->resource};
    Update second{*right->resource};
    const double next = order_of(first.resource) + 1;
    std::get<api::Tier>(first.resource.spec).order = next;
    std::get<api::Tier>(second.resource.spec).order = next;
    const std::array<Change, 2> changes{first, second};
    if (!store->commit(changes)) {
      ::_exit(2);
    }
    const auto acknowledged = static_cast<std::uint32_t>(next);
    (void)!::write(pipe, &acknowledged, sizeof(acknowledged));
  }
}

struct Writer {
  pid_t pid = -1;
  int pipe = -1;
};

Writer start_writer(const std::string& path, int number) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::close(ends[0]);
    write_pairs(path, number, ends[1]);
  }
  ::close(ends[1]);
  return {pid, ends[0]};
}

// Reads acknowledgements: up to `count`, or all that are there when the writer is dead.
std::uint32_t read_acknowledged(int pipe, std::uint32_t count) {
  std::uint32_t last = 0;
  for (std::uint32_t value = 0;
       count > 0 && ::read(pipe, &value, sizeof(value)) == static_cast<ssize_t>(sizeof(value));
       --count) {
    last = value;
  }
  return last;
}

std::uint32_t kill_writer(const Writer& writer) {
  REQUIRE(::kill(writer.pid, SIGKILL) == 0);
  int status = 0;
  REQUIRE(::waitpid(writer.pid, &status, 0) == writer.pid);
  CHECK(WIFSIGNALED(status));  // an exit of its own is a failed commit
  const std::uint32_t last = read_acknowledged(writer.pipe, ~0U);
  ::close(writer.pipe);
  return last;
}

}  // namespace

TEST_SUITE("datastore.sqlite") {
  TEST_CASE("writers killed at random moments lose nothing acknowledged and leave nothing torn") {
    constexpr int kRounds = 25;
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    for (const int writer : {0, 1}) {
      REQUIRE(store->create(a_tier(left_of(writer), 0)));
      REQUIRE(store->create(a_tier(right_of(writer), 0)));
    }
    auto listing = store->list({});
    REQUIRE(listing);
    const auto watch = store->watch({}, listing->revision);
    REQUIRE(watch);
    std::uint64_t seen = listing->revision.value();
    std::map<std::string, double> watched;
    std::array<std::uint32_t, 2> acknowledged{};

    std::minstd_rand random(20260801);
    for (int round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      const std::array<Writer, 2> writers{start_writer(folder.store(), 0),
                                          start_writer(folder.store(), 1)};
      // Both are at work before they are killed.
      for (std::size_t i = 0; i < writers.size(); ++i) {
        acknowledged[i] =
            read_acknowledged(writers[i].pipe, static_cast<std::uint32_t>(1 + random() % 10));
      }
      ::usleep(static_cast<useconds_t>(random() % 3000));  // anywhere within a commit
      for (std::size_t i = 0; i < writers.size(); ++i) {
        acknowledged[i] = std::max(acknowledged[i], kill_writer(writers[i]));
      }

      for (std::size_t i = 0; i < writers.size(); ++i) {
        const auto left = store->get(tier_key(left_of(static_cast<int>(i))));
        const auto right = store->get(tier_key(right_of(static_cast<int>(i))));
        REQUIRE(left);
        REQUIRE(right);
        CHECK(order_of(*left->resource) == order_of(*right->resource));
        CHECK(order_of(*left->resource) >= acknowledged[i]);
        CHECK(order_of(*left->resource) <= acknowledged[i] + 1);  // one unanswered at most
      }
      listing = store->list({});
      REQUIRE(listing);
      const auto events = await_events(**watch, listing->revision.value() - seen);
      for (const datastore::Event& event : events) {
        CHECK(event.object.revision.value() == ++seen);
        REQUIRE(event.object.resource);
        watched[event.object.key.name] = order_of(*event.object.resource);
      }
      CHECK(seen == listing->revision.value());
    }
    for (const datastore::Object& object : listing->objects) {
      CHECK(watched[object.key.name] == order_of(*object.resource));
    }
  }
}

}  // namespace margay::test
