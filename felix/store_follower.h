#pragma once
// StoreFollower: turns a Store into one gapless stream of "this is now true", whatever happens to
// the store.
//
// It lists, then watches. When the watch was compacted, or the store was away, it lists again and
// reports every object, and the deletion of what it reported before and is gone, so its user never
// sees a gap; repeats must not matter to it. While the store is away nothing is reported: what was
// true stays true. Blocking calls run on the store worker; everything is reported on the loop's
// thread.

#include "base/result.h"
#include "datastore/store.h"
#include "felix/worker.h"

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace margay::felix {

class StoreFollower {
 public:
  struct Sink {
    std::function<void(const datastore::Object&)>
        on_object;  // new, changed, or (resource null) invalid
    std::function<void(const api::ResourceKey&)> on_deleted;
    // The changes reported so far make up the store at this revision; the first call means: in
    // sync.
    std::function<void(datastore::Revision)> on_batch;
    // The store cannot be reached (error text), or can again (empty).
    std::function<void(const std::string&)> on_state;
  };

  StoreFollower(boost::asio::io_context& io,
                Worker& store_worker,
                datastore::Store& store,
                Sink sink);
  ~StoreFollower();
  StoreFollower(const StoreFollower&) = delete;
  StoreFollower& operator=(const StoreFollower&) = delete;

  void start();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace margay::felix
