#include "felix/render/names.h"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <fmt/format.h>

namespace margay::felix {

namespace {

constexpr std::size_t kLongestName = 100;  // nftables takes 127 bytes

const char* short_kind(api::Kind kind) {
  switch (kind) {
    case api::Kind::kGlobalNetworkPolicy:
      return "gnp";
    case api::Kind::kNetworkPolicy:
      return "np";
    case api::Kind::kKubernetesNetworkPolicy:
      return "knp";
    case api::Kind::kProfile:
      return "profile";
    case api::Kind::kAdminNetworkPolicy:
      return "anp";
    case api::Kind::kBaselineAdminNetworkPolicy:
      return "banp";
    case api::Kind::kClusterNetworkPolicy:
      return "cnp";
    default:
      return "policy";
  }
}

}  // namespace

std::string digest(std::string_view text) {
  constexpr std::size_t kBytes = 8;
  boost::uuids::name_generator_sha1 generator(boost::uuids::ns::oid());
  const boost::uuids::uuid uuid = generator(text.data(), text.size());
  std::string out;
  for (std::size_t i = 0; i < kBytes; ++i) {
    out += fmt::format("{:02x}", uuid.data[i]);
  }
  return out;
}

std::string policy_chain_name(const api::ResourceKey& policy, api::PolicyType direction) {
  std::string name = direction == api::PolicyType::kIngress ? "in/" : "out/";
  name += short_kind(policy.kind);
  if (!policy.ns.empty()) {
    name += "/" + policy.ns;
  }
  name += "/" + policy.name;
  if (name.size() <= kLongestName) {
    return name;
  }
  const std::string hash = digest(name);
  return name.substr(0, kLongestName - hash.size() - 1) + "-" + hash;
}

std::string set_name(const policy::AddressSet& set, Family family, bool nets) {
  using Kind = policy::AddressSet::Kind;
  const char* what = "sel";
  switch (set.kind) {
    case Kind::kSelector:
      what = nets ? "cidr" : "sel";
      break;
    case Kind::kNamedPort:
      what = "port";
      break;
    case Kind::kService:
      what = "svc";
      break;
    case Kind::kServiceAddresses:
      what = "svcip";
      break;
    case Kind::kNodes:
      what = "node";
      break;
    case Kind::kDomains:
      what = "dns";
      break;
  }
  return fmt::format("{}{}-{}", what, family == Family::kIpv4 ? 4 : 6, digest(set.text()));
}

}  // namespace margay::felix
