#include "cli/edit.h"

#include "cli/bgp_warnings.h"
#include "policy/validate.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

namespace margay::cli {

namespace {

constexpr int kMostRounds = 10;  // lost compare-and-swap races before giving up

// What the object becomes; the word says what happened ("labeled").
struct Edited {
  api::Resource resource;
  std::string word;
};
using Edit = std::function<Result<Edited>(const api::Resource&)>;

// Decoded again, so that an edit is held to the rules of a document.
Result<api::Resource> checked(const api::Resource& edited) {
  auto decoded = api::decode_json(api::encode_json(edited));
  if (!decoded) {
    return fail(decoded.error());
  }
  if (auto valid = policy::validate(*decoded); !valid) {
    return fail(valid.error());
  }
  return decoded;
}

// One compare-and-swap; nothing when somebody else was first.
Result<std::optional<std::string>> edit_once(Context& context,
                                             datastore::Store& store,
                                             const api::ResourceKey& key,
                                             bool dry_run,
                                             const Edit& edit) {
  const auto stored = store.get(key);
  if (!stored) {
    return stored.error().code == Errc::kNotFound
               ? fail(Errc::kNotFound, "{} does not exist", key.str())
               : fail(stored.error());
  }
  if (!stored->resource) {
    return fail(stored->invalid.value_or(Error{Errc::kInvalid, key.str() + " is invalid", 0}));
  }
  auto edited = edit(*stored->resource);
  if (!edited) {
    return fail(edited.error());
  }
  auto next = checked(edited->resource);
  if (!next) {
    return fail(next.error(), "{}", key.str());
  }
  if (api::same_content(*next, *stored->resource)) {
    return std::optional<std::string>("unchanged");
  }
  print_bgp_warnings(context, store, {{key, std::make_shared<const api::Resource>(*next)}});
  if (dry_run) {
    return std::optional(std::move(edited->word));
  }
  next->metadata.resource_version = std::to_string(stored->revision.value());
  const auto updated = store.update(*next);
  if (updated) {
    return std::optional(std::move(edited->word));
  }
  return updated.error().code == Errc::kConflict ? Result<std::optional<std::string>>(std::nullopt)
                                                 : fail(updated.error());
}

int edit_object(Context& context, const EditOptions& options, const Edit& edit) {
  const auto key = api::key_of(options.kind, options.ns, options.name);
  if (!key) {
    context.report(key.error());
    return kUsage;
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  for (int tries = 0; tries < kMostRounds; ++tries) {
    const auto done = edit_once(context, **store, *key, options.dry_run, edit);
    if (!done) {
      return context.report(done.error());
    }
    if (*done) {
      context.out() << key->str() << ' ' << **done << (options.dry_run ? " (dry run)" : "") << '\n';
      return kDone;
    }
  }
  return context.report(Error{Errc::kConflict, key->str() + " keeps changing: try again", 0});
}

// Absent: the label is removed.
using LabelChanges = std::map<std::string, std::optional<std::string>>;

Result<LabelChanges> parse_changes(const std::vector<std::string>& texts) {
  LabelChanges changes;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const bool removal = equals == std::string::npos && text.ends_with('-') && text.size() > 1;
    if (equals == 0 || (equals == std::string::npos && !removal)) {
      return fail(Errc::kInvalid, "\"{}\": expected KEY=VALUE, or KEY- to remove it", text);
    }
    const std::string key = text.substr(0, removal ? text.size() - 1 : equals);
    const auto value = removal ? std::nullopt : std::optional(text.substr(equals + 1));
    if (!changes.emplace(key, value).second) {
      return fail(Errc::kInvalid, "\"{}\": the label {} is named twice", text, key);
    }
  }
  return changes;
}

Result<Edited> with_labels(const api::Resource& resource,
                           const LabelChanges& changes,
                           bool overwrite) {
  Edited edited{resource, "labeled"};
  api::Labels& labels = edited.resource.metadata.labels;
  for (const auto& [key, value] : changes) {
    if (!value) {
      labels.erase(key);
      continue;
    }
    const auto [label, added] = labels.try_emplace(key, *value);
    if (!added && label->second != *value && !overwrite) {
      return fail(Errc::kExists,
                  "label {} is \"{}\": --overwrite makes it \"{}\"",
                  key,
                  label->second,
                  *value);
    }
    label->second = *value;
  }
  return edited;
}

}  // namespace

int label(Context& context, const LabelOptions& options) {
  const auto changes = parse_changes(options.changes);
  if (!changes) {
    context.report(changes.error());
    return kUsage;
  }
  return edit_object(context, options, [&](const api::Resource& resource) {
    return with_labels(resource, *changes, options.overwrite);
  });
}

int patch(Context& context, const PatchOptions& options) {
  return edit_object(context, options, [&](const api::Resource& resource) -> Result<Edited> {
    auto patched = api::merge_patch(resource, options.patch);
    if (!patched) {
      return fail(patched.error());
    }
    if (patched->key() != resource.key()) {
      return fail(Errc::kInvalid, "a patch cannot change kind, namespace or name");
    }
    return Edited{std::move(*patched), "patched"};
  });
}

int drain_bgp(Context& context, const std::string& node, bool drained) {
  EditOptions options;
  options.kind = "node";
  options.name = node;
  return edit_object(context, options, [drained](const api::Resource& resource) -> Result<Edited> {
    api::Resource changed = resource;
    const std::string annotation(api::kDrainAnnotation);
    if (drained) {
      changed.metadata.annotations.insert_or_assign(annotation, "true");
    } else {
      changed.metadata.annotations.erase(annotation);
    }
    return Edited{std::move(changed), drained ? "drained" : "told again"};
  });
}

int export_all(Context& context) {
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  const auto listing = (*store)->list({});
  if (!listing) {
    return context.report(listing.error());
  }
  int code = kDone;
  bool first = true;
  for (const datastore::Object& object : listing->objects) {
    if (object.key.kind == api::Kind::kNodeStatus || object.key.kind == api::Kind::kPendingChange) {
      continue;
    }
    if (!object.resource) {
      code = context.report(Error{Errc::kInvalid, object.key.str() + " is invalid: left out", 0});
      continue;
    }
    api::Resource plain = *object.resource;
    plain.metadata.resource_version.clear();
    plain.metadata.uid.clear();
    plain.metadata.creation_timestamp.clear();
    context.out() << (std::exchange(first, false) ? "" : "---\n") << api::encode_yaml(plain);
  }
  return code;
}

}  // namespace margay::cli
