#include "cli/context.h"

#include <ostream>

namespace margay::cli {

Result<datastore::Store*> Context::store() {
  if (!store_) {
    auto opened = datastore::open_store(datastore, open_mode);
    if (!opened) {
      return fail(opened.error());
    }
    store_ = std::move(*opened);
  }
  return store_.get();
}

int Context::report(const Error& error) {
  err_ << "margayctl: " << error.text << '\n';
  return kFailed;
}

}  // namespace margay::cli
