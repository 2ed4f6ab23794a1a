#include "cni/environment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string_view>

namespace margay::cni {

namespace {

constexpr std::size_t kMaxIfName = 15;
constexpr std::size_t kMaxContainerId = 253;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

struct Requirement {
  const char* name;
  const std::string Environment::*value;
  std::string_view verbs;  // that need it
};
constexpr std::array<Requirement, 5> kRequirements{{
    {"CNI_COMMAND", &Environment::command, "ADD DEL CHECK GC STATUS"},
    {"CNI_CONTAINERID", &Environment::container_id, "ADD DEL CHECK"},
    {"CNI_NETNS", &Environment::netns, "ADD CHECK"},
    {"CNI_IFNAME", &Environment::ifname, "ADD DEL CHECK"},
    {"CNI_PATH", &Environment::path, "ADD DEL CHECK GC STATUS"},
}};

bool is_container_id(std::string_view text) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !text.empty() && text.size() <= kMaxContainerId && is_word(text.front()) &&
         std::ranges::all_of(
             text, [&is_word](char c) { return is_word(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_ifname(std::string_view text) {
  return !text.empty() && text.size() <= kMaxIfName && text != "." && text != ".." &&
         std::ranges::none_of(text, [](char c) {
           return c == '/' || c == ':' || std::isspace(static_cast<unsigned char>(c)) != 0;
         });
}

}  // namespace

Environment read_environment() {
  return {.command = variable("CNI_COMMAND"),
          .container_id = variable("CNI_CONTAINERID"),
          .netns = variable("CNI_NETNS"),
          .ifname = variable("CNI_IFNAME"),
          .path = variable("CNI_PATH"),
          .args = variable("CNI_ARGS")};
}

std::optional<CniError> check_environment(const Environment& environment) {
  const auto bad = [](std::string msg) {
    return CniError{Code::kBadEnvironment, std::move(msg), "the container runtime sets these"};
  };
  constexpr std::array<std::string_view, 5> kVerbs{"ADD", "DEL", "CHECK", "GC", "STATUS"};
  const bool known = std::ranges::find(kVerbs, environment.command) != kVerbs.end();
  if (!known && !environment.command.empty()) {
    return bad("CNI_COMMAND \"" + environment.command + "\" is not known");
  }
  std::string missing;
  for (const Requirement& row : kRequirements) {
    const bool needed = row.verbs.find(environment.command) != std::string_view::npos;
    if (needed && (environment.*row.value).empty()) {
      missing += missing.empty() ? "" : ", ";
      missing += row.name;
    }
  }
  if (!missing.empty()) {
    return bad("required environment variables are missing: " + missing);
  }
  const bool attachment = environment.command != "GC" && environment.command != "STATUS";
  if (attachment && !is_container_id(environment.container_id)) {
    return bad(
        "CNI_CONTAINERID \"" + environment.container_id +
        "\": expected at most 253 letters, digits, '_', '.' and '-', a letter or digit first");
  }
  if (attachment && !is_ifname(environment.ifname)) {
    return bad("CNI_IFNAME \"" + environment.ifname +
               "\": expected 1 to 15 bytes, no '/', ':' or white space, not '.' or '..'");
  }
  return std::nullopt;
}

std::optional<CniError> parse_args(const std::string& text,
                                   std::map<std::string, std::string>& args) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::string pair = text.substr(begin, end - begin);
    begin = end + 1;
    if (pair.empty()) {
      continue;
    }
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return CniError{Code::kBadEnvironment, "CNI_ARGS: \"" + pair + "\": expected KEY=VALUE", {}};
    }
    args[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return std::nullopt;
}

}  // namespace margay::cni
