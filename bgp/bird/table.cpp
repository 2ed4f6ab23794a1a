#include "bgp/bird/table.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace margay::bgp::bird {

namespace {

constexpr unsigned kRouteLine = 1007;
constexpr unsigned kTypeLine = 1008;
constexpr unsigned kAttributeLine = 1012;

// The next word of a text, cut off its front; empty at the end.
std::string_view next_word(std::string_view& text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    text = {};
    return {};
  }
  const auto end = std::min(text.find_first_of(" \t", begin), text.size());
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, errc] = std::from_chars(text.data(), text.data() + text.size(), number);
  return errc == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                 : std::nullopt;
}

std::optional<RouterId> id_of(std::string_view text) {
  const auto address = IpAddr::parse(text);
  return address && address->is_v4() ? std::optional(RouterId(address->v4_value())) : std::nullopt;
}

// "64999 65009 {65003 65004}"
AsPath path_of(std::string_view text) {
  AsPath path;
  std::vector<std::uint32_t> members;
  bool in_set = false;
  const auto flush = [&] {
    if (!members.empty()) {
      path.append(in_set ? AsPath::SegmentType::kSet : AsPath::SegmentType::kSequence, members);
      members.clear();
    }
  };
  for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
    if (word.starts_with('{')) {
      flush();
      in_set = true;
      word.remove_prefix(1);
    }
    const bool closes = word.ends_with('}');
    if (closes) {
      word.remove_suffix(1);
    }
    if (const auto asn = number_of(word)) {
      members.push_back(*asn);
    }
    if (closes) {
      flush();
      in_set = false;
    }
  }
  flush();
  return path;
}

// "(65001,77) (65001, 77, 88)": the numbers in each pair of brackets.
std::vector<std::vector<std::uint32_t>> tuples_of(std::string_view text) {
  std::vector<std::vector<std::uint32_t>> out;
  while (true) {
    const auto open = text.find('(');
    const auto close = text.find(')', open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos) {
      return out;
    }
    std::string inside(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
    std::ranges::replace(inside, ',', ' ');
    std::string_view rest = inside;
    std::vector<std::uint32_t> numbers;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
      if (const auto number = number_of(word)) {
        numbers.push_back(*number);
      }
    }
    out.push_back(std::move(numbers));
  }
}

void add_communities(std::string_view text, AttributeSet& out) {
  constexpr std::size_t kStandard = 2;
  constexpr std::size_t kLarge = 3;
  constexpr unsigned kHalf = 16;
  for (const auto& numbers : tuples_of(text)) {
    if (numbers.size() == kStandard) {
      out.add(Community(numbers[0] << kHalf | numbers[1]));
    } else if (numbers.size() == kLarge) {
      out.add(LargeCommunity{numbers[0], numbers[1], numbers[2]});
    }
  }
}

void set_next_hop(std::string_view text, AttributeSet& out) {
  if (const auto global = IpAddr::parse(next_word(text))) {
    out.next_hop.address = *global;
  }
  if (const auto local = IpAddr::parse(next_word(text))) {
    out.next_hop.link_local = *local;
  }
}

void set_attribute(std::string_view name, std::string_view value, AttributeSet& out) {
  std::string_view rest = value;
  if (name == "BGP.origin") {
    const std::string_view word = next_word(rest);
    out.origin =
        word == "IGP" ? Origin::kIgp : (word == "EGP" ? Origin::kEgp : Origin::kIncomplete);
  } else if (name == "BGP.as_path") {
    out.as_path = path_of(value);
  } else if (name == "BGP.next_hop") {
    set_next_hop(value, out);
  } else if (name == "BGP.med") {
    out.med = number_of(next_word(rest));
  } else if (name == "BGP.local_pref") {
    out.local_pref = number_of(next_word(rest));
  } else if (name == "BGP.community" || name == "BGP.large_community") {
    add_communities(value, out);
  } else if (name == "BGP.originator_id") {
    out.originator_id = id_of(next_word(rest));
  } else if (name == "BGP.cluster_list") {
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
      if (const auto id = id_of(word)) {
        out.cluster_list.push_back(*id);
      }
    }
  }
}

class TableReader {
 public:
  void line(const ReplyLine& line) {
    if (line.code == kRouteLine) {
      finish_attribute();
      route(line.text);
    } else if (line.code == kTypeLine && path_ != nullptr) {
      path_->from_peer = line.text.find("BGP") != std::string::npos;
    } else if (line.code == kAttributeLine && path_ != nullptr) {
      attribute(line.text);
    }
  }
  std::vector<ListedRoute> take() {
    finish_attribute();
    std::ranges::stable_sort(routes_, {}, &ListedRoute::prefix);
    return std::move(routes_);
  }

 private:
  // "10.244.3.0/26  unicast [peer-node2 2026-11-22 03:20:40.547 from 10.0.0.2] * (100/?) [i]"; a
  // further path of the same prefix begins with blanks; its gateways follow below a tab.
  void route(std::string_view text) {
    if (text.starts_with('\t')) {
      return;
    }
    path_ = nullptr;
    const auto open = text.find('[');
    if (open == std::string_view::npos) {
      return;  // "Table master4:", or an empty line
    }
    std::string_view head = text.substr(0, open);
    if (!head.starts_with(' ')) {
      const auto prefix = Prefix::parse(next_word(head));
      known_ = prefix.has_value();
      if (known_) {
        routes_.push_back({*prefix, {}});
      }
    }
    const auto close = text.find(']', open);
    if (!known_ || close == std::string_view::npos) {
      return;
    }
    std::string_view inside = text.substr(open + 1, close - open - 1);
    std::string_view tail = text.substr(close + 1);
    ListedPath path;
    path.protocol = std::string(next_word(inside));
    path.unreachable = next_word(head) == "unreachable";
    for (std::string_view word = next_word(tail); !word.empty(); word = next_word(tail)) {
      path.best = path.best || word == "*" || word == "!";
      path.stale = path.stale || word == "s";
    }
    routes_.back().paths.push_back(std::move(path));
    path_ = &routes_.back().paths.back();
  }

  // "\tBGP.as_path: 64999 65009"; a long list goes on below two tabs.
  void attribute(std::string_view text) {
    if (text.starts_with("\t\t")) {
      value_ += " ";
      value_ += text.substr(2);
      return;
    }
    finish_attribute();
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) {
      return;
    }
    std::string_view head = text.substr(0, colon);
    name_ = std::string(next_word(head));
    value_ = std::string(text.substr(colon + 1));
  }
  void finish_attribute() {
    if (path_ != nullptr && !name_.empty()) {
      set_attribute(name_, value_, path_->attributes);
    }
    name_.clear();
    value_.clear();
  }

  std::vector<ListedRoute> routes_;
  ListedPath* path_ = nullptr;  // the last one of the last route
  bool known_ = false;          // the last prefix could be read
  std::string name_;
  std::string value_;
};

}  // namespace

std::vector<ListedRoute> read_routes(const Reply& reply) {
  TableReader reader;
  for (const ReplyLine& line : reply.lines) {
    reader.line(line);
  }
  return reader.take();
}

}  // namespace margay::bgp::bird
