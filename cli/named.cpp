#include "cli/named.h"

namespace margay::cli {

Result<NamedObjects> parse_named(std::string_view kind, const std::vector<std::string>& names) {
  const std::size_t slash = kind.find('/');
  const auto parsed = api::parse_kind(kind.substr(0, slash));
  if (!parsed) {
    return fail(parsed.error());
  }
  NamedObjects out{*parsed, {}};
  if (slash == std::string_view::npos) {
    out.names = names;
    return out;
  }
  out.names.emplace_back(kind.substr(slash + 1));
  for (const std::string& text : names) {
    const std::size_t at = text.find('/');
    const auto same = api::parse_kind(std::string_view(text).substr(0, at));
    if (at == std::string::npos || !same || *same != *parsed) {
      return fail(Errc::kInvalid,
                  "\"{}\": expected {}/NAME: one kind at a time",
                  text,
                  kind.substr(0, slash));
    }
    out.names.push_back(text.substr(at + 1));
  }
  return out;
}

}  // namespace margay::cli
