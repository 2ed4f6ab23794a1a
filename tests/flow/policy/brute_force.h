#pragma once
// What policy means, a third time: straight from the documents as written, without the rule model
// that the renderer and the evaluator share. Every question walks all objects; nothing is compiled,
// prefixed, indexed or kept. Of the product it uses decoded resources and the parser of selectors,
// which has tests of its own against a plain matcher.

#include "tests/flow/policy/random_world.h"

namespace margay::test {

class BruteForce {
 public:
  explicit BruteForce(const Objects& objects);

  // The verdicts of the two sides; a side without policy of ours allows.
  struct Sides {
    bool egress = true;
    bool ingress = true;
  };
  [[nodiscard]] Sides verdict(const policy::Flow& flow) const;

 private:
  struct Owner;
  struct Ask;
  struct AnyPolicy;
  enum class Said : std::uint8_t { kNothing, kAllow, kDeny, kPass };

  [[nodiscard]] std::vector<Owner> owners(const IpAddr& address) const;
  [[nodiscard]] const api::Labels& namespace_labels(const std::string& ns) const;
  [[nodiscard]] api::Labels labels_of(const api::Resource& resource) const;
  [[nodiscard]] std::optional<NodeName> node_at(const IpAddr& address) const;

  [[nodiscard]] bool namespace_matches(const std::string& selector, const std::string& ns) const;
  [[nodiscard]] bool side_names(const api::EntityRule& side,
                                const std::string& policy_ns,
                                const Owner& owner) const;
  [[nodiscard]] bool entity_matches(const api::EntityRule& side,
                                    const std::string& policy_ns,
                                    const Ask& ask,
                                    bool destination) const;
  [[nodiscard]] bool ports_match(const std::vector<api::Port>& ports,
                                 const api::EntityRule& side,
                                 const std::string& policy_ns,
                                 const Ask& ask,
                                 bool destination) const;
  [[nodiscard]] bool rule_matches(const api::Rule& rule,
                                  const std::string& policy_ns,
                                  const Ask& ask) const;
  [[nodiscard]] Said calico(const std::vector<api::Rule>& rules,
                            const std::string& policy_ns,
                            const Ask& ask) const;
  [[nodiscard]] bool kubernetes_peer(const api::KubernetesPeer& peer,
                                     const std::string& ns,
                                     const Ask& ask,
                                     bool destination) const;
  [[nodiscard]] Said kubernetes(const std::vector<api::KubernetesRule>& rules,
                                const std::string& ns,
                                const Ask& ask) const;
  [[nodiscard]] bool admin_peer(const api::AdminPeer& peer,
                                api::Action action,
                                const Ask& ask) const;
  [[nodiscard]] Said admin(const std::vector<api::AdminRule>& rules, const Ask& ask) const;
  [[nodiscard]] bool pod_matches(const api::LabelSelector* namespaces,
                                 const api::LabelSelector* pods,
                                 const Owner& owner) const;
  [[nodiscard]] bool selects(const AnyPolicy& policy, const api::Resource& endpoint) const;
  [[nodiscard]] std::vector<AnyPolicy> policies_of(const api::Resource& endpoint,
                                                   policy::Hook hook,
                                                   const Ask& ask) const;
  [[nodiscard]] Said ask_policy(const AnyPolicy& policy, const Ask& ask) const;
  // All tiers; a tier's end passes on where `open_ends`.
  [[nodiscard]] Said tiers(const api::Resource& endpoint,
                           policy::Hook hook,
                           const Ask& ask,
                           bool open_ends) const;
  [[nodiscard]] bool endpoint_allows(const api::Resource& endpoint, const Ask& ask) const;
  [[nodiscard]] bool host_allows(const api::Resource& host, const Ask& ask, bool forwarded) const;
  [[nodiscard]] bool failsafe(const Ask& ask, bool reply) const;
  [[nodiscard]] const api::Resource* host_endpoint(const NodeName& node,
                                                   const IpAddr& address) const;

  const Objects& objects_;
};

}  // namespace margay::test
