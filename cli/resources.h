#pragma once
// create, apply, replace, delete, validate: documents of files into the store, reported one by one.

#include "base/result.h"
#include "datastore/pending_change.h"
#include "datastore/store.h"

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace margay::cli {

enum class Verb : std::uint8_t { kCreate, kApply, kReplace, kDelete, kValidate };

// One text to decode: a file, or standard input as "-".
struct Input {
  std::string name;
  std::string text;
};
// Files as they are; folders give their *.yaml, *.yml and *.json files in name order; "-" reads
// `in`.
[[nodiscard]] Result<std::vector<Input>> read_inputs(const std::vector<std::string>& paths,
                                                     std::istream& in);

// What became of one document.
struct Outcome {
  std::string file;
  unsigned document = 0;       // from 1
  std::string object;          // "NetworkPolicy prod/web"; empty when it did not decode
  std::string action;          // created, configured, unchanged, replaced, deleted, valid
  std::optional<Error> error;  // then nothing of this document was stored
};

struct RunOptions {
  Verb verb = Verb::kApply;
  bool dry_run = false;  // everything but the write
  std::string default_namespace = "default";
  bool force = false;  // delete: a pool whose addresses are in use, too
};

// `store` may be null for kValidate. A refused document does not stop the others.
[[nodiscard]] std::vector<Outcome> run_documents(datastore::Store* store,
                                                 const std::vector<Input>& inputs,
                                                 const RunOptions& options);

// What run_documents() would write; documents that it refuses by themselves are left out.
[[nodiscard]] std::vector<datastore::PlannedEdit> planned_edits(const std::vector<Input>& inputs,
                                                                const RunOptions& options);

// Deletes one object by name; refuses what protects others (a tier that still has policies, a pool
// with allocations). A pool takes its empty blocks along.
[[nodiscard]] Result<void> delete_object(datastore::Store& store,
                                         const api::ResourceKey& key,
                                         const RunOptions& options);

}  // namespace margay::cli
