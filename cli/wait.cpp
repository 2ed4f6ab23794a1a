#include "cli/wait.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <ostream>
#include <poll.h>
#include <set>

namespace margay::cli {

namespace {

using Clock = std::chrono::steady_clock;
using datastore::Object;
using datastore::Revision;

// Nodes by name, with the revision that they have published.
class Progress {
 public:
  explicit Progress(Revision wanted) : wanted_(wanted) {}

  void need(const std::string& node) { needed_.insert(node); }
  void forget(const std::string& node) { needed_.erase(node); }
  void on_status(const Object& object) {
    if (object.resource) {
      published_[object.key.name] =
          Revision(std::get<api::NodeStatus>(object.resource->spec).enforced_revision);
    }
  }
  [[nodiscard]] std::size_t nodes() const { return needed_.size(); }
  [[nodiscard]] std::vector<std::string> lagging() const {
    std::vector<std::string> out;
    std::ranges::copy_if(needed_, std::back_inserter(out), [this](const std::string& node) {
      const auto published = published_.find(node);
      return published == published_.end() || published->second < wanted_;
    });
    return out;
  }

 private:
  Revision wanted_;
  std::set<std::string> needed_;
  std::map<std::string, Revision> published_;
};

// The node that alone has to do with the object; empty: all of them.
std::string node_of(const api::Resource& resource) {
  if (const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&resource.spec)) {
    return endpoint->node.str();
  }
  const auto* host = std::get_if<api::HostEndpoint>(&resource.spec);
  return host == nullptr ? std::string() : host->node.str();
}

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  return names.size() > kShown ? text + fmt::format(" and {} more", names.size() - kShown) : text;
}

// Nothing: all nodes have it. Errors: time-out, store.
Result<void> follow(datastore::Watch& watch, Clock::time_point deadline, Progress& progress) {
  while (!progress.lagging().empty()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      return fail(Errc::kTimeout, "not enforced yet on {}", listed(progress.lagging()));
    }
    pollfd readable{watch.descriptor(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) {
      return fail_errno(errno, "watch");
    }
    const auto events = watch.take();
    if (!events) {
      return fail(events.error());
    }
    for (const datastore::Event& event : *events) {
      const bool deleted = event.type == datastore::Event::Type::kDelete;
      if (event.object.key.kind == api::Kind::kNode && deleted) {
        progress.forget(event.object.key.name);
      } else if (event.object.key.kind == api::Kind::kNodeStatus && !deleted) {
        progress.on_status(event.object);
      }
    }
  }
  return {};
}

}  // namespace

int wait_enforced(Context& context, const WaitOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  const auto key = api::key_of(options.kind, options.ns, options.name);
  if (!key) {
    context.report(key.error());
    return kUsage;
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  const auto object = (*store)->get(*key);
  if (!object) {
    return context.report(object.error());
  }
  if (!object->resource) {
    return context.report(
        object->invalid.value_or(fail(Errc::kInvalid, "{} is invalid", key->str()).error));
  }
  const auto listing = (*store)->list({});
  if (!listing) {
    return context.report(listing.error());
  }
  Progress progress(object->revision);
  const std::string only = node_of(*object->resource);
  for (const Object& each : listing->objects) {
    if (each.key.kind == api::Kind::kNode && (only.empty() || each.key.name == only)) {
      progress.need(each.key.name);
    } else if (each.key.kind == api::Kind::kNodeStatus) {
      progress.on_status(each);
    }
  }
  if (!only.empty()) {
    progress.need(only);
  }
  auto watch = (*store)->watch({}, listing->revision);
  if (!watch) {
    return context.report(watch.error());
  }
  if (auto done = follow(**watch, deadline, progress); !done) {
    return context.report(fail(done.error(), "{}", key->str()).error);
  }
  context.out() << key->str() << " enforced on " << progress.nodes()
                << (progress.nodes() == 1 ? " node\n" : " nodes\n");
  return kDone;
}

}  // namespace margay::cli
