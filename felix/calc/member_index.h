#pragma once
// MemberIndex: the members of every address set that active policies use, kept while endpoints,
// network sets, labels and uses change.
//
// A source (an endpoint or a network set) brings its networks to the sets whose selector matches
// it; a member stays while any source brings it. take_changes() gives net differences. A set that
// is not used costs nothing. Pure.

#include "api/metadata.h"
#include "policy/address_set.h"
#include "policy/label_index.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace margay::felix {

struct MemberSource {
  api::Labels labels;
  std::vector<std::string> parents;  // of the label index, which hand labels down
  std::vector<Prefix> nets;          // sorted, without repeats
  std::vector<api::EndpointPort> ports;
  bool operator==(const MemberSource&) const = default;
};

// Where a Service leads: addresses, and addresses with ports.
struct ServiceMembers {
  std::set<policy::Member> addresses;
  std::set<policy::Member> ports;
  bool operator==(const ServiceMembers&) const = default;
};

struct MemberDelta {
  std::vector<policy::Member> add;
  std::vector<policy::Member> remove;
};

class MemberIndex {
 public:
  void set_source(const api::ResourceKey& key, MemberSource source);
  void remove_source(const api::ResourceKey& key);
  void set_parent(const std::string& name, const api::Labels& labels);
  void remove_parent(const std::string& name);
  void set_service(const std::string& service, ServiceMembers members);  // "namespace/name"

  // The addresses that a domain name has led to; none: forget the name.
  void set_domain(const std::string& name, std::set<IpAddr> addresses);

  // Uses are counted; an unused set is forgotten.
  void use(const policy::AddressSet& set);
  void release(const policy::AddressSet& set);

  struct Changes {
    std::map<policy::AddressSet, MemberDelta> members;  // an entry for each set that is new, too
    std::vector<policy::AddressSet> removed;
  };
  [[nodiscard]] Changes take_changes();
  // Some set of domain names is in use.
  [[nodiscard]] bool uses_domains() const { return !domain_sets_.empty(); }
  [[nodiscard]] bool wants_domain(const std::string& name) const;

 private:
  struct Used {
    policy::SelectorId selector;  // zero for services
    unsigned users = 0;
    std::map<policy::Member, unsigned> members;  // -> sources that bring it
  };
  struct Source {
    policy::ItemId item;
    MemberSource value;
  };

  void start(const policy::AddressSet& set, Used& used);
  void start_domains(const policy::AddressSet& set, Used& used);
  void drain();
  void drain(policy::LabelIndex& index);
  [[nodiscard]] policy::LabelIndex& index_of(const policy::AddressSet& set) {
    return set.kind == policy::AddressSet::Kind::kNodes ? nodes_ : labels_;
  }
  [[nodiscard]] policy::LabelIndex& index_of(const api::ResourceKey& source) {
    return source.kind == api::Kind::kNode ? nodes_ : labels_;
  }
  void count(const policy::AddressSet& set, Used& used, const policy::Member& member, bool add);
  void replace_service(const policy::AddressSet& set, Used& used);

  policy::LabelIndex labels_;
  policy::LabelIndex nodes_;                              // items and selectors of nodes
  std::unordered_map<api::ResourceKey, Source> sources_;  // its nodes are stable
  std::unordered_map<policy::ItemId, const Source*> sources_by_item_;
  std::map<std::string, ServiceMembers> services_;
  std::map<std::string, std::set<IpAddr>> domains_;
  std::set<policy::AddressSet> domain_sets_;  // of used_
  std::map<policy::AddressSet, Used> used_;
  std::map<policy::SelectorId, policy::AddressSet> sets_;
  std::map<policy::AddressSet, std::map<policy::Member, bool>> dirty_;  // true: is a member now
  std::set<policy::AddressSet> removed_;
  std::uint32_t next_item_ = 1;
  std::uint32_t next_selector_ = 1;
};

}  // namespace margay::felix
