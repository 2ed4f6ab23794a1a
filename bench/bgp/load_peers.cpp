#include "bench/bgp/load_peers.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <unistd.h>
#include <utility>

namespace margay::bench {

using namespace std::chrono_literals;

namespace {

constexpr auto kKnockPause = 2ms;   // until the speaker listens
constexpr auto kRetryPause = 20ms;  // after that

}  // namespace

Result<std::unique_ptr<LoadPeers>> LoadPeers::start(std::vector<LoadPeer::Options> options,
                                                    std::size_t at_once) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) {
    return fail_errno(errno, "epoll");
  }
  std::unique_ptr<LoadPeers> peers(new LoadPeers(epoll, at_once));
  for (LoadPeer::Options& one : options) {
    Place place;
    place.options = std::move(one);
    peers->places_.push_back(std::move(place));
  }
  peers->waiting_ = peers->places_.size();
  return peers;
}

LoadPeers::~LoadPeers() {
  ::close(epoll_);
}

std::uint32_t LoadPeers::held(std::size_t peer) const {
  return places_[peer].peer ? places_[peer].peer->held() : 0;
}

void LoadPeers::send(std::size_t peer, bgp::Bytes bytes) {
  places_[peer].peer->queue(bytes);
  pump(peer);
}

Result<void> LoadPeers::step(Clock::time_point deadline) {
  if (auto begun = begin_due(); !begun) {
    return begun;
  }
  if (waiting_ > 0 && unheard_ < at_once_) {
    deadline =
        std::min<Clock::time_point>(deadline, Clock::now() + (open_ ? kRetryPause : kKnockPause));
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  constexpr std::size_t kAtOnce = 64;
  std::array<epoll_event, kAtOnce> events{};
  const int count = ::epoll_wait(
      epoll_, events.data(), kAtOnce, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  if (count < 0 && errno != EINTR) {
    return fail_errno(errno, "epoll");
  }
  for (int i = 0; i < count; ++i) {
    pump(events.at(static_cast<std::size_t>(i)).data.u64);
  }
  return {};
}

Result<void> LoadPeers::until(const std::function<bool()>& condition, Clock::time_point deadline) {
  while (!condition()) {
    if (Clock::now() >= deadline) {
      const auto silent = std::ranges::find_if(places_, [](const Place& p) { return !p.up; });
      return fail(Errc::kTimeout,
                  "{} of {} peers are up{}",
                  established_,
                  size(),
                  silent != places_.end() ? "; one is not: " + silent->why : "");
    }
    if (auto done = step(deadline); !done) {
      return done;
    }
  }
  return {};
}

std::vector<std::size_t> LoadPeers::take_established() {
  return std::exchange(fresh_, {});
}

std::vector<LoadPeers::Lost> LoadPeers::take_lost() {
  return std::exchange(lost_, {});
}

Result<void> LoadPeers::begin_due() {
  if (waiting_ == 0) {
    return {};
  }
  const auto now = Clock::now();
  for (std::size_t i = 0; i < (open_ ? places_.size() : 1); ++i) {
    if (unheard_ == at_once_) {
      return {};
    }
    if (!places_[i].peer && places_[i].retry <= now) {
      if (auto begun = begin(i); !begun) {
        return begun;
      }
    }
  }
  return {};
}

Result<void> LoadPeers::begin(std::size_t peer) {
  Place& place = places_[peer];
  auto begun = LoadPeer::connect(place.options);
  if (!begun) {
    return fail(begun.error());
  }
  place.peer = std::move(*begun);
  --waiting_;
  ++unheard_;
  watch(peer, true);
  return {};
}

void LoadPeers::watch(std::size_t peer, bool added) {
  Place& place = places_[peer];
  const bool wanted = place.peer->sending();
  if (!added && wanted == place.asks_to_write) {
    return;
  }
  place.asks_to_write = wanted;
  epoll_event event{};
  event.events = EPOLLIN | (wanted ? std::uint32_t{EPOLLOUT} : 0U);
  event.data.u64 = peer;
  ::epoll_ctl(epoll_, added ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, place.peer->descriptor(), &event);
}

void LoadPeers::pump(std::size_t peer) {
  Place& place = places_[peer];
  if (!place.peer) {
    return;
  }
  if (const auto done = place.peer->pump(); !done) {
    give_up(peer, done.error().text);
    return;
  }
  if (!open_ && place.peer->connected()) {
    open_ = true;
    opened_at_ = Clock::now();
  }
  if (!place.heard && place.peer->heard()) {
    place.heard = true;
    --unheard_;
  }
  if (!place.up && place.peer->established()) {
    place.up = true;
    ++established_;
    fresh_.push_back(peer);
  }
  watch(peer, false);
}

void LoadPeers::give_up(std::size_t peer, const std::string& why) {
  Place& place = places_[peer];
  place.why = why;
  if (place.up) {
    lost_.push_back({peer, Clock::now(), why});
  }
  close(peer);
}

void LoadPeers::drop(std::size_t peer) {
  if (places_[peer].peer) {
    close(peer);
  }
}

void LoadPeers::close(std::size_t peer) {
  Place& place = places_[peer];
  established_ -= place.up ? 1 : 0;
  unheard_ -= place.heard ? 0 : 1;
  place.up = place.heard = false;
  place.peer.reset();  // closes the connection, which epoll then forgets
  place.retry = Clock::now() + (open_ ? kRetryPause : kKnockPause);
  ++waiting_;
}

}  // namespace margay::bench
