#include "felix/bgp_questions.h"

#include "api/proto/control.pb.h"
#include "bgp/speaker.h"
#include "felix/bgp_view.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace margay::felix {

namespace v1 = control::v1;

namespace {

template <typename T>
using Reply = ControlBackend::Reply<T>;

template <typename Answer, typename View>
Answer answer_of(const View& view) {
  Answer answer;
  felix::fill(view, answer);
  return answer;
}

// What one peer is asked for: there may be no such peer.
template <typename Answer, typename View>
std::function<void(std::optional<View>)> answer_with(Reply<Answer> reply) {
  return [reply = std::move(reply)](const std::optional<View>& view) {
    reply(view ? std::optional(answer_of<Answer>(*view)) : std::nullopt);
  };
}

// Empty text is every prefix. False: it is no prefix.
bool read_prefix(const std::string& text, std::optional<Prefix>& prefix) {
  if (text.empty()) {
    return true;
  }
  const auto parsed = Prefix::parse(text);
  if (parsed) {
    prefix = *parsed;
  }
  return static_cast<bool>(parsed);
}

// Empty text is every route, an address who carries it. Absent: it is neither, nor a prefix.
std::optional<bgp::RouteQuery> read_query(const std::string& text) {
  if (const auto addr = IpAddr::parse(text)) {
    return bgp::RouteQuery(*addr);
  }
  std::optional<Prefix> prefix;
  if (!read_prefix(text, prefix)) {
    return std::nullopt;
  }
  return prefix ? bgp::RouteQuery(*prefix) : bgp::RouteQuery();
}

}  // namespace

void add_bgp_questions(const std::function<bgp::SpeakerControl*()>& find_speaker,
                       ControlBackend& backend) {
  backend.bgp_peers = [find_speaker](Reply<v1::ListBgpPeersResponse> reply) {
    bgp::SpeakerControl* speaker = find_speaker();
    if (speaker == nullptr) {
      reply(std::nullopt);
      return;
    }
    speaker->status([reply = std::move(reply)](const bgp::SpeakerStatus& status) {
      reply(answer_of<v1::ListBgpPeersResponse>(status));
    });
  };
  backend.bgp_routes = [find_speaker](const std::string& text,
                                      Reply<v1::ListBgpRoutesResponse> reply) {
    bgp::SpeakerControl* speaker = find_speaker();
    const auto query = read_query(text);
    if (speaker == nullptr || !query) {
      reply(std::nullopt);
      return;
    }
    const bool all = text.empty();
    speaker->routes(*query, [all, reply = std::move(reply)](const bgp::RoutesView& view) {
      const bool found = all || !view.routes.empty();
      reply(found ? std::optional(answer_of<v1::ListBgpRoutesResponse>(view)) : std::nullopt);
    });
  };
  backend.bgp_neighbor = [find_speaker](const std::string& peer, Reply<v1::BgpNeighbor> reply) {
    bgp::SpeakerControl* speaker = find_speaker();
    if (speaker == nullptr) {
      reply(std::nullopt);
      return;
    }
    speaker->neighbor(peer, answer_with<v1::BgpNeighbor, bgp::NeighborView>(std::move(reply)));
  };
  backend.bgp_exports = [find_speaker](const std::string& peer,
                                       const std::string& text,
                                       Reply<v1::BgpExports> reply) {
    bgp::SpeakerControl* speaker = find_speaker();
    std::optional<Prefix> prefix;
    if (speaker == nullptr || !read_prefix(text, prefix)) {
      reply(std::nullopt);
      return;
    }
    speaker->exports(peer, prefix, answer_with<v1::BgpExports, bgp::ExportsView>(std::move(reply)));
  };
  backend.dump_bgp_table = [find_speaker](Reply<v1::DumpBgpTableResponse> reply) {
    bgp::SpeakerControl* speaker = find_speaker();
    if (speaker == nullptr) {
      reply(std::nullopt);
      return;
    }
    speaker->dump_table([reply = std::move(reply)](const Result<bgp::TableDump>& dumped) {
      reply(answer_of<v1::DumpBgpTableResponse>(dumped));
    });
  };
}

}  // namespace margay::felix
