#include "base/domain_name.h"

#include <algorithm>

namespace margay {

std::string canonical_domain(std::string name) {
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name.ends_with('.')) {
    name.pop_back();
  }
  return name;
}

}  // namespace margay
