#include "felix/agent_identity.h"

#include "base/durable_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <unistd.h>

namespace margay::felix {

namespace {

constexpr const char* kIdentityFile = "/agent-id";
constexpr std::size_t kDigits = 32;

std::string this_host() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return host.data();
}

bool is_identity(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

AgentIdentity make_identity() {
  std::random_device random;
  AgentIdentity identity{.id = {}, .host = this_host()};
  while (identity.id.size() < kDigits) {
    identity.id += fmt::format("{:08x}", random());
  }
  return identity;
}

Result<AgentIdentity> kept_identity(const std::string& state_dir) {
  const std::string path = state_dir + kIdentityFile;
  std::ifstream file(path);
  std::string id;
  if (std::getline(file, id) && is_identity(id)) {
    return AgentIdentity{id, this_host()};
  }
  AgentIdentity identity = make_identity();
  if (auto written = replace_file(path, identity.id + "\n"); !written) {
    return fail(written.error());
  }
  return identity;
}

}  // namespace margay::felix
