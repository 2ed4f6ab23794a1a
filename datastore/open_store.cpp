#include "datastore/sqlite/sqlite_store.h"
#include "datastore/store.h"

namespace margay::datastore {

namespace {

constexpr std::string_view kSqlite = "sqlite://";

}  // namespace

Result<void> check_store_url(std::string_view url) {
  if (url.starts_with("etcd://") || url.starts_with("kubernetes://")) {
    return fail(Errc::kInvalid, "datastore \"{}\": this build has the sqlite datastore only", url);
  }
  if (!url.starts_with(kSqlite)) {
    return fail(Errc::kInvalid, "datastore \"{}\": expected sqlite:///PATH", url);
  }
  const std::string_view path = url.substr(kSqlite.size());
  if (path.size() < 2 || path.front() != '/' || path.back() == '/') {
    return fail(Errc::kInvalid,
                "datastore \"{}\": expected sqlite:/// and an absolute path of a file",
                url);
  }
  return {};
}

Result<std::unique_ptr<Store>> open_store(std::string_view url, OpenMode mode) {
  if (auto checked = check_store_url(url); !checked) {
    return fail(checked.error());
  }
  SqliteOptions options;
  options.path = url.substr(kSqlite.size());
  options.create = mode == OpenMode::kCreate;
  return make_sqlite_store(std::move(options));
}

}  // namespace margay::datastore
