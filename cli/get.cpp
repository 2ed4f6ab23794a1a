#include "cli/get.h"

#include "cli/label_selector.h"
#include "cli/named.h"

#include <algorithm>
#include <cerrno>
#include <ostream>
#include <poll.h>

namespace margay::cli {

using datastore::Event;
using datastore::Object;

namespace {

struct Query {
  api::Kind kind{};
  std::string ns;                  // empty: all
  std::vector<std::string> names;  // empty: all
  std::optional<policy::Selector> selector;
  Format format = Format::kTable;

  [[nodiscard]] bool wants(const Object& object) const {
    const api::ResourceKey& key = object.key;
    return key.kind == kind && (ns.empty() || key.ns == ns) &&
           (names.empty() || std::ranges::find(names, key.name) != names.end()) &&
           (!selector || (object.resource && selector->matches(object.resource->metadata.labels)));
  }
};

Result<Query> make_query(const GetOptions& options) {
  auto named = parse_named(options.kind, options.names);
  if (!named) {
    return fail(named.error());
  }
  const auto format = parse_format(options.output);
  if (!format) {
    return fail(format.error());
  }
  Query query{named->kind, {}, std::move(named->names), std::nullopt, *format};
  if (api::spec_of(query.kind).namespaced && !options.all_namespaces) {
    query.ns = options.ns;
  }
  if (!options.selector.empty()) {
    auto selector = parse_label_selector(options.selector);
    if (!selector) {
      return fail(selector.error(), "selector");
    }
    query.selector = std::move(*selector);
  }
  return query;
}

// Objects that were asked for by name and are not there.
std::vector<std::string> missing_of(const Query& query, const std::vector<Object>& found) {
  std::vector<std::string> missing;
  for (const std::string& name : query.names) {
    if (std::ranges::none_of(found,
                             [&name](const Object& object) { return object.key.name == name; })) {
      missing.push_back(api::ResourceKey{query.kind, query.ns, name}.str());
    }
  }
  return missing;
}

PrintOptions print_options(const Query& query) {
  return {query.format,
          query.names.size() == 1,
          api::spec_of(query.kind).namespaced && query.ns.empty(),
          std::chrono::system_clock::now()};
}

// Prints every change from the listing on, until the stream ends or the store says stop.
int follow(Context& context,
           datastore::Store& store,
           const Query& query,
           datastore::Revision from) {
  auto watch = store.watch({.kind = query.kind, .ns = query.ns}, from);
  if (!watch) {
    return context.report(watch.error());
  }
  while (context.out()) {
    pollfd readable{(*watch)->descriptor(), POLLIN, 0};
    if (::poll(&readable, 1, -1) < 0 && errno != EINTR) {
      return context.report(fail_errno(errno, "watch").error);
    }
    const auto events = (*watch)->take();
    if (!events) {
      return context.report(events.error());
    }
    for (const Event& event : *events) {
      if (event.type == Event::Type::kDelete && query.wants(event.object)) {
        context.out() << "deleted " << event.object.key.str() << '\n';
      } else if (event.type == Event::Type::kPut && query.wants(event.object)) {
        context.out() << print(query.kind, std::span(&event.object, 1), print_options(query));
      }
    }
    context.out().flush();
  }
  return kDone;
}

}  // namespace

int get(Context& context, const GetOptions& options) {
  const auto query = make_query(options);
  if (!query) {
    context.report(query.error());
    return kUsage;
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  auto listing = (*store)->list({.kind = query->kind, .ns = query->ns});
  if (!listing) {
    return context.report(listing.error());
  }
  std::erase_if(listing->objects, [&query](const Object& object) { return !query->wants(object); });
  const std::vector<std::string> missing = missing_of(*query, listing->objects);
  const bool table = query->format == Format::kTable || query->format == Format::kWide;
  if (!listing->objects.empty() || (query->names.empty() && !table)) {
    context.out() << print(query->kind, listing->objects, print_options(*query));
  } else if (query->names.empty()) {
    context.err() << "no " << api::spec_of(query->kind).plural << " found\n";
  }
  for (const std::string& object : missing) {
    context.report(fail(Errc::kNotFound, "{} does not exist", object).error);
  }
  if (!options.watch || !missing.empty()) {
    return missing.empty() ? kDone : kFailed;
  }
  context.out().flush();
  return follow(context, **store, *query, listing->revision);
}

}  // namespace margay::cli
