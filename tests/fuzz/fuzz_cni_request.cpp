// What may arrive at the CNI socket, and what a runtime may write to a plugin: a message, in it a
// configuration and arguments. Nothing may crash, and what is taken obeys its rules.

#include "api/proto/cni.pb.h"
#include "base/assert.h"
#include "base/strong.h"
#include "cni/config.h"
#include "cni/environment.h"
#include "cni/error.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

void check_config(std::string_view text) {
  using margay::cni::parse_config;
  const auto config = parse_config(text);
  if (!config) {
    MARGAY_ASSERT(!config.error().msg.empty());
    MARGAY_ASSERT(margay::cni::error_json(config.error(), "1.0.0").back() == '\n');
    return;
  }
  MARGAY_ASSERT(margay::cni::is_supported(config->cni_version));
  MARGAY_ASSERT(!config->name.empty() && config->run_dir.front() == '/');
  MARGAY_ASSERT(config->timeout_s > 0 && config->timeout_s <= margay::cni::kMaxTimeoutS);
  const auto again = parse_config(text);
  MARGAY_ASSERT(again && *again == *config);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes to text
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_config(text);
  std::map<std::string, std::string> args;
  if (!margay::cni::parse_args(std::string(text), args)) {
    MARGAY_ASSERT(!args.contains(""));
  }
  margay::cni::Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) {
    return 0;
  }
  check_config(request.config());
  margay::cni::Environment environment;
  environment.command = request.verb();
  environment.container_id = request.container_id();
  environment.netns = request.netns();
  environment.ifname = request.ifname();
  environment.path = "/opt/cni/bin";
  if (!margay::cni::check_environment(environment) && request.verb() == "ADD") {
    MARGAY_ASSERT(margay::IfName::parse(request.ifname()));
  }
  return 0;
}
