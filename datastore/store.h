#pragma once
// Store: the one interface to all datastores (embedded SQLite, etcd, Kubernetes).
//
// The guarantees, the same for each: create fails with kExists when the object is there; update and
// remove with a stale revision fail with kConflict; what was acknowledged is durable; a watch from
// revision R delivers every later change in order without a gap, or fails with kCompacted and the
// caller lists again. Objects whose stored text does not decode are delivered as invalid, never
// hidden. Calls block (up to the store's time-out, then kUnavailable) and may be made from any one
// thread at a time; loops call them from a worker thread. Watch is the exception: its descriptor
// becomes readable and take() does not block.

#include "api/resource.h"
#include "base/result.h"
#include "base/strong.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace margay::datastore {

// Grows with every change of the store; resource_version is its decimal form.
using Revision = Strong<struct RevisionTag, std::uint64_t>;

struct Object {
  api::ResourceKey key;
  Revision revision;                              // of the object's last change
  std::shared_ptr<const api::Resource> resource;  // null: the stored text is invalid
  std::optional<Error> invalid;                   // why
  // Of an invalid object in a listing: its newest valid version that the store still has.
  std::shared_ptr<const api::Resource> last_valid = nullptr;
};

struct ListQuery {
  std::optional<api::Kind> kind;  // absent: all kinds
  std::string ns;                 // empty: all namespaces
};

struct Listing {
  std::vector<Object> objects;  // ordered by key
  Revision revision;            // a watch from here misses nothing
};

struct Event {
  enum class Type : std::uint8_t { kPut, kDelete };
  Type type = Type::kPut;
  Object object;  // for kDelete: key and revision of the deletion only
};

// A change for commit(). update and remove carry the revision they expect
// (resource.metadata.resource_version).
struct Create {
  api::Resource resource;
};
struct Update {
  api::Resource resource;
};
struct Remove {
  api::ResourceKey key;
  std::optional<Revision> expected;  // absent: whatever is there
};
using Change = std::variant<Create, Update, Remove>;

class Watch {
 public:
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  virtual ~Watch() = default;

  // Readable (poll, epoll) when take() may return something. Owned by the watch.
  [[nodiscard]] virtual int descriptor() const = 0;
  // Everything since the last call, in order of revision; may be empty. kCompacted: list again and
  // open a new watch; kUnavailable: the store is away, the watch stays usable and resumes where it
  // was.
  [[nodiscard]] virtual Result<std::vector<Event>> take() = 0;
  // All changes up to here have been delivered.
  [[nodiscard]] virtual Revision revision() const = 0;
};

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  // Applies changes in order. SQLite and etcd apply all or none; a store without transactions stops
  // at the first failure, so callers order changes such that every prefix of them is a safe state.
  // Returns the objects as stored (for Remove: the object removed). The error's text names the
  // object that failed.
  [[nodiscard]] virtual Result<std::vector<Object>> commit(std::span<const Change> changes) = 0;
  // kNotFound when absent.
  [[nodiscard]] virtual Result<Object> get(const api::ResourceKey& key) = 0;
  [[nodiscard]] virtual Result<Listing> list(const ListQuery& query) = 0;
  // The keys of what list() has, in its order, without reading the objects.
  [[nodiscard]] virtual Result<std::vector<api::ResourceKey>> keys(const ListQuery& query) = 0;
  // Changes after `from`. kCompacted at once if that is no longer kept.
  [[nodiscard]] virtual Result<std::unique_ptr<Watch>> watch(const ListQuery& query,
                                                             Revision from) = 0;

  // The common single changes.
  [[nodiscard]] Result<Object> create(const api::Resource& resource);
  [[nodiscard]] Result<Object> update(const api::Resource& resource);
  [[nodiscard]] Result<Object> remove(const api::ResourceKey& key,
                                      std::optional<Revision> expected = std::nullopt);
};

// Whether a store that is not there may be made. kExisting: a missing one is kUnavailable until it
// appears.
enum class OpenMode : std::uint8_t { kCreate, kExisting };

// What open_store() would say of the URL.
[[nodiscard]] Result<void> check_store_url(std::string_view url);

// The store that a URL names: sqlite:///path. etcd:// and kubernetes:// answer that this build
// lacks them. Bad URLs are errors that name the part. Nothing is touched before the first call, so
// a store that is away is no error here.
[[nodiscard]] Result<std::unique_ptr<Store>> open_store(std::string_view url,
                                                        OpenMode mode = OpenMode::kCreate);
inline constexpr std::string_view kDefaultStoreUrl = "sqlite:///var/lib/margay/margay.db";

}  // namespace margay::datastore
