#pragma once
// Names of the domain name system, as text.

#include <string>

namespace margay {

// Lower case, as names do not differ by it (RFC 4343), and without the last dot, which says no more
// than the name.
[[nodiscard]] std::string canonical_domain(std::string name);

}  // namespace margay
