#include "cli/resources.h"

#include "cli/pool_rules.h"
#include "policy/validate.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <istream>
#include <iterator>
#include <sstream>
#include <utility>

namespace margay::cli {

namespace fs = std::filesystem;
using datastore::Object;
using datastore::Store;

namespace {

constexpr int kMaxTries = 10;  // lost compare-and-swap races before giving up
constexpr std::string_view kDefaultTier = "default";

Result<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return fail(Errc::kNotFound, "{}: cannot be read", path.string());
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_resource_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

Result<std::string> create(Store& store, const api::Resource& resource, bool dry_run) {
  if (dry_run) {
    if (store.get(resource.key())) {
      return fail(Errc::kExists, "{} exists", resource.key().str());
    }
    return std::string("created");
  }
  const auto done = store.create(resource);
  if (!done) {
    return fail(done.error());
  }
  return std::string("created");
}

bool lost_a_race(const Error& error) {
  return error.code == Errc::kConflict || error.code == Errc::kNotFound;
}

// Of a compare-and-swap round: what happened, or nothing when another round is needed.
using Round = Result<std::optional<std::string>>;

Round create_round(Store& store, const api::Resource& resource, const RunOptions& options) {
  if (options.verb == Verb::kReplace) {
    return fail(Errc::kNotFound, "{} does not exist: use create or apply", resource.key().str());
  }
  auto created = create(store, resource, options.dry_run);
  if (!created) {
    return created.error().code == Errc::kExists ? Round(std::nullopt) : fail(created.error());
  }
  return std::optional(*created);
}

Round update_round(Store& store,
                   const Object& existing,
                   api::Resource resource,
                   const RunOptions& options) {
  const bool replace = options.verb == Verb::kReplace;
  const std::string current = std::to_string(existing.revision.value());
  const std::string wanted = resource.metadata.resource_version;
  if (!wanted.empty() && wanted != current) {
    return fail(Errc::kConflict,
                "metadata.resourceVersion: \"{}\": {} has changed since, it is at {}",
                wanted,
                resource.key().str(),
                current);
  }
  if (existing.resource && api::same_content(*existing.resource, resource)) {
    return std::optional<std::string>(replace ? "replaced" : "unchanged");
  }
  if (!options.dry_run) {
    resource.metadata.resource_version = current;
    if (existing.resource) {
      resource.metadata.uid = existing.resource->metadata.uid;
      resource.metadata.creation_timestamp = existing.resource->metadata.creation_timestamp;
    }
    if (const auto updated = store.update(resource); !updated) {
      return wanted.empty() && lost_a_race(updated.error()) ? Round(std::nullopt)
                                                            : fail(updated.error());
    }
  }
  return std::optional<std::string>(replace ? "replaced" : "configured");
}

Round write_once(Store& store, const api::Resource& resource, const RunOptions& options) {
  const auto existing = store.get(resource.key());
  if (existing) {
    return update_round(store, *existing, resource, options);
  }
  return existing.error().code == Errc::kNotFound ? create_round(store, resource, options)
                                                  : fail(existing.error());
}

Result<std::string> write(Store& store, const api::Resource& resource, const RunOptions& options) {
  if (options.verb == Verb::kCreate) {
    return create(store, resource, options.dry_run);
  }
  for (int tries = 0; tries < kMaxTries; ++tries) {
    auto done = write_once(store, resource, options);
    if (!done) {
      return fail(done.error());
    }
    if (*done) {
      return **done;
    }
  }
  return fail(Errc::kConflict, "{} keeps changing: try again", resource.key().str());
}

bool in_tier(const Object& object, const std::string& tier) {
  if (!object.resource) {
    return false;
  }
  if (const auto* global = std::get_if<api::GlobalNetworkPolicy>(&object.resource->spec)) {
    return global->tier == tier;
  }
  const auto* namespaced = std::get_if<api::NetworkPolicy>(&object.resource->spec);
  return namespaced != nullptr && namespaced->tier == tier;
}

Result<void> check_tier_unused(Store& store, const std::string& tier) {
  if (tier == kDefaultTier) {
    return fail(Errc::kInvalid, "Tier default is part of the system and cannot be deleted");
  }
  for (const api::Kind kind : {api::Kind::kGlobalNetworkPolicy, api::Kind::kNetworkPolicy}) {
    const auto listing = store.list({.kind = kind, .ns = {}});
    if (!listing) {
      return fail(listing.error());
    }
    const auto user = std::ranges::find_if(
        listing->objects, [&](const Object& object) { return in_tier(object, tier); });
    if (user != listing->objects.end()) {
      return fail(Errc::kConflict,
                  "Tier {} still has policies ({}): delete or move them first",
                  tier,
                  user->key.str());
    }
  }
  return {};
}

Result<std::string> handle(Store* store, const api::Resource& resource, const RunOptions& options) {
  if (auto valid = policy::validate(resource); !valid && options.verb != Verb::kDelete) {
    return fail(valid.error());
  }
  if (options.verb == Verb::kValidate) {
    return std::string("valid");
  }
  MARGAY_ASSERT(store != nullptr);
  if (options.verb == Verb::kDelete) {
    const auto done = delete_object(*store, resource.key(), options);
    if (!done) {
      return fail(done.error());
    }
    return std::string("deleted");
  }
  if (resource.kind() == api::Kind::kIPPool) {
    if (auto allowed = check_pool_write(*store, resource); !allowed) {
      return fail(allowed.error());
    }
  }
  return write(*store, resource, options);
}

api::Resource in_namespace(api::Resource resource, const RunOptions& options) {
  if (api::spec_of(resource.kind()).namespaced && resource.metadata.ns.empty()) {
    resource.metadata.ns = options.default_namespace;
  }
  return resource;
}

}  // namespace

Result<std::vector<Input>> read_inputs(const std::vector<std::string>& paths, std::istream& in) {
  std::vector<Input> inputs;
  for (const std::string& path : paths) {
    if (path == "-") {
      inputs.push_back({"-", std::string(std::istreambuf_iterator<char>(in), {})});
      continue;
    }
    std::vector<fs::path> files;
    std::error_code errc;
    if (fs::is_directory(path, errc)) {
      for (const auto& entry : fs::directory_iterator(path, errc)) {
        if (is_resource_file(entry.path())) {
          files.push_back(entry.path());
        }
      }
      std::ranges::sort(files);
      if (files.empty()) {
        return fail(Errc::kNotFound, "{}: no *.yaml, *.yml or *.json file in it", path);
      }
    } else {
      files.emplace_back(path);
    }
    for (const fs::path& file : files) {
      auto text = read_file(file);
      if (!text) {
        return fail(text.error());
      }
      inputs.push_back({file.string(), std::move(*text)});
    }
  }
  return inputs;
}

std::vector<Outcome> run_documents(Store* store,
                                   const std::vector<Input>& inputs,
                                   const RunOptions& options) {
  std::vector<Outcome> outcomes;
  for (const Input& input : inputs) {
    for (api::Document& document : api::decode_documents(input.text)) {
      Outcome outcome{input.name, document.number, {}, {}, std::nullopt};
      if (!document.resource) {
        outcome.error = document.resource.error();
        outcomes.push_back(std::move(outcome));
        continue;
      }
      const api::Resource resource = in_namespace(std::move(*document.resource), options);
      outcome.object = resource.key().str();
      auto done = handle(store, resource, options);
      if (done) {
        outcome.action = std::move(*done);
      } else {
        outcome.error = done.error();
      }
      outcomes.push_back(std::move(outcome));
    }
  }
  return outcomes;
}

namespace {

// One edit for each object, in the order of their first documents: the last document decides.
void plan(const api::ResourceKey& key,
          std::shared_ptr<const api::Resource> after,
          std::vector<datastore::PlannedEdit>& edits) {
  const auto planned = std::ranges::find(edits, key, &datastore::PlannedEdit::key);
  if (planned == edits.end()) {
    edits.push_back({key, std::move(after)});
  } else {
    planned->after = std::move(after);
  }
}

}  // namespace

std::vector<datastore::PlannedEdit> planned_edits(const std::vector<Input>& inputs,
                                                  const RunOptions& options) {
  std::vector<datastore::PlannedEdit> edits;
  for (const Input& input : inputs) {
    for (api::Document& document : api::decode_documents(input.text)) {
      if (!document.resource) {
        continue;
      }
      auto resource = std::make_shared<const api::Resource>(
          in_namespace(std::move(*document.resource), options));
      if (options.verb == Verb::kDelete) {
        plan(resource->key(), nullptr, edits);
      } else if (policy::validate(*resource)) {
        const api::ResourceKey key = resource->key();
        plan(key, std::move(resource), edits);
      }
    }
  }
  return edits;
}

Result<void> delete_object(Store& store, const api::ResourceKey& key, const RunOptions& options) {
  if (key.kind == api::Kind::kTier) {
    if (auto unused = check_tier_unused(store, key.name); !unused) {
      return unused;
    }
  }
  if (key.kind == api::Kind::kIPPool && !options.force) {
    if (auto unused = check_pool_unused(store, key); !unused) {
      return unused;
    }
  }
  const auto existing = store.get(key);
  if (!existing) {
    return existing.error().code == Errc::kNotFound
               ? Result<void>(fail(Errc::kNotFound, "{} does not exist", key.str()))
               : Result<void>(fail(existing.error()));
  }
  if (options.dry_run) {
    return {};
  }
  const auto removed = store.remove(key);
  if (!removed) {
    return fail(removed.error());
  }
  const auto* pool =
      removed->resource ? std::get_if<api::IPPool>(&removed->resource->spec) : nullptr;
  return pool == nullptr ? Result<void>() : remove_empty_blocks(store, pool->cidr);
}

}  // namespace margay::cli
