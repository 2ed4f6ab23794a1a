#include "felix/store_follower.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
using datastore::Event;
using datastore::Listing;

namespace {

constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kLastRetry{2000};

struct Opened {
  Listing listing;
  std::unique_ptr<datastore::Watch> watch;
};

Result<Opened> open(datastore::Store& store) {
  auto listing = store.list({});
  if (!listing) {
    return fail(listing.error(), "list");
  }
  auto watch = store.watch({}, listing->revision);
  if (!watch) {
    return fail(watch.error(), "watch");
  }
  return Opened{std::move(*listing), std::move(*watch)};
}

}  // namespace

struct StoreFollower::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io_in, Worker& worker_in, datastore::Store& store_in, Sink sink_in)
      : io(io_in),
        worker(worker_in),
        store(store_in),
        sink(std::move(sink_in)),
        timer(io_in),
        readable(io_in) {}

  void open_later(std::chrono::milliseconds delay) {
    timer.expires_after(delay);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& errc) {
      if (!errc && !self->closed) {
        self->open_now();
      }
    });
  }

  void open_now() {
    boost::system::error_code ignored;
    readable.close(ignored);
    watch.reset();
    worker.post([self = shared_from_this()] {
      auto opened = std::make_shared<Result<Opened>>(open(self->store));
      asio::post(self->io, [self, opened] { self->on_opened(*opened); });
    });
  }

  void on_opened(Result<Opened>& opened) {
    if (closed) {
      return;
    }
    if (!opened) {
      sink.on_state(opened.error().text);
      open_later(retry);
      retry = std::min(retry * 2, kLastRetry);
      return;
    }
    retry = kFirstRetry;
    sink.on_state({});
    replace_all(opened->listing);
    watch = std::move(opened->watch);
    readable.assign(::dup(watch->descriptor()));
    take();
  }

  // Reports the whole list, unchanged objects too: a store that was replaced may repeat revisions
  // with other content.
  void replace_all(const Listing& listing) {
    std::set<api::ResourceKey> now;
    for (const datastore::Object& object : listing.objects) {
      now.insert(object.key);
      sink.on_object(object);
    }
    for (const api::ResourceKey& key : known) {
      if (!now.contains(key)) {
        sink.on_deleted(key);
      }
    }
    known = std::move(now);
    sink.on_batch(listing.revision);
  }

  void wait() {
    readable.async_wait(asio::posix::stream_descriptor::wait_read,
                        [self = shared_from_this()](const boost::system::error_code& errc) {
                          if (!errc && !self->closed) {
                            self->take();
                          }
                        });
  }

  void take() {
    auto events = watch->take();
    if (!events) {
      sink.on_state(events.error().text);
      away = true;
      // The watch itself resumes when the store is only away; anything else starts over from a
      // list.
      open_later(events.error().code == Errc::kCompacted ? std::chrono::milliseconds(0)
                                                         : kFirstRetry);
      return;
    }
    if (std::exchange(away, false)) {
      sink.on_state({});
    }
    for (const Event& event : *events) {
      if (event.type == Event::Type::kDelete) {
        known.erase(event.object.key);
        sink.on_deleted(event.object.key);
      } else {
        known.insert(event.object.key);
        sink.on_object(event.object);
      }
    }
    if (!events->empty()) {
      sink.on_batch(watch->revision());
    }
    wait();
  }

  asio::io_context& io;
  Worker& worker;
  datastore::Store& store;
  Sink sink;
  asio::steady_timer timer;
  asio::posix::stream_descriptor readable;
  std::unique_ptr<datastore::Watch> watch;
  std::set<api::ResourceKey> known;  // reported as present
  std::chrono::milliseconds retry = kFirstRetry;
  bool away = false;
  bool closed = false;
};

StoreFollower::StoreFollower(asio::io_context& io,
                             Worker& store_worker,
                             datastore::Store& store,
                             Sink sink)
    : state_(std::make_shared<State>(io, store_worker, store, std::move(sink))) {}

StoreFollower::~StoreFollower() {
  state_->closed = true;
  boost::system::error_code ignored;
  state_->readable.close(ignored);
  state_->timer.cancel();
}

void StoreFollower::start() {
  state_->open_now();
}

}  // namespace margay::felix
