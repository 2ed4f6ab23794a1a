#pragma once
// What every command works with: streams (injected, so that tests capture them), the chosen
// datastore and run directory.

#include "base/result.h"
#include "datastore/store.h"

#include <iosfwd>
#include <memory>
#include <string>

namespace margay::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

class Context {
 public:
  Context(std::istream& in, std::ostream& out, std::ostream& err) : in_(in), out_(out), err_(err) {}

  [[nodiscard]] std::istream& in() { return in_; }
  [[nodiscard]] std::ostream& out() { return out_; }
  [[nodiscard]] std::ostream& err() { return err_; }

  // Set from flags, environment and defaults before a command runs.
  std::string datastore{datastore::kDefaultStoreUrl};
  std::string run_dir = "/run/margay";
  // Whether a datastore that is not there is made: by commands that bring objects.
  datastore::OpenMode open_mode = datastore::OpenMode::kExisting;

  // The store of `datastore`, opened at first use.
  [[nodiscard]] Result<datastore::Store*> store();
  // Uses this store instead; for tests and for commands that run inside others.
  void set_store(std::unique_ptr<datastore::Store> store) { store_ = std::move(store); }

  // Prints "margayctl: <text>" on the error stream; returns kFailed.
  int report(const Error& error);

 private:
  std::istream& in_;
  std::ostream& out_;
  std::ostream& err_;
  std::unique_ptr<datastore::Store> store_;
};

}  // namespace margay::cli
