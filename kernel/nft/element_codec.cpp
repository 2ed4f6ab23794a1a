#include "kernel/nft/element_codec.h"

#include "kernel/nft/fields.h"
#include "kernel/nft/rule_codec.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>

namespace margay::nft {
namespace {

bool has_split_ranges(const SetSpec& spec) {
  return spec.interval && spec.key.size() == 1;
}

// The key as the kernel has it: a single narrow part is not padded there.
std::string bare(const SetSpec& spec, const Key& key) {
  return key.bytes().substr(0, key_bytes(spec.key));
}
Key from_bare(std::string bytes) {
  bytes.resize(padded(bytes.size()), '\0');
  return Key{}.append_raw(bytes);
}

// The next larger number of the same width; empty when there is none.
std::string successor(std::string bytes) {
  for (std::size_t i = bytes.size(); i-- > 0;) {
    const auto next = static_cast<unsigned char>(static_cast<unsigned char>(bytes[i]) + 1U);
    bytes[i] = static_cast<char>(next);
    if (next != 0) {
      return bytes;
    }
  }
  return {};
}
std::string predecessor(std::string bytes) {
  for (std::size_t i = bytes.size(); i-- > 0;) {
    const auto before = static_cast<unsigned char>(bytes[i]);
    bytes[i] = static_cast<char>(before - 1U);
    if (before != 0) {
      break;
    }
  }
  return bytes;
}

template <typename F>
void for_each_nested(const nlattr* nest, const F& function) {
  const auto* first = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const auto* end = reinterpret_cast<const char*>(first) + mnl_attr_get_payload_len(nest);
  for (const nlattr* attr = first;
       mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)));
       attr = mnl_attr_next(attr)) {
    function(attr);
  }
}

void put_value(nlmsghdr* message, std::uint16_t type, const std::string& bytes) {
  nlattr* nest = mnl_attr_nest_start(message, type);
  mnl_attr_put(message, NFTA_DATA_VALUE, bytes.size(), bytes.data());
  mnl_attr_nest_end(message, nest);
}

void put_verdict(nlmsghdr* message, const Verdict& verdict) {
  nlattr* data = mnl_attr_nest_start(message, NFTA_SET_ELEM_DATA);
  nlattr* nest = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
  mnl_attr_put_u32(
      message, NFTA_VERDICT_CODE, htonl(static_cast<std::uint32_t>(to_code(verdict.kind))));
  if (!verdict.chain.empty()) {
    mnl_attr_put_strz(message, NFTA_VERDICT_CHAIN, verdict.chain.c_str());
  }
  mnl_attr_nest_end(message, nest);
  mnl_attr_nest_end(message, data);
}

std::string value_in(const nlattr* nest) {
  std::string bytes;
  for_each_nested(nest, [&bytes](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE) {
      bytes.assign(static_cast<const char*>(mnl_attr_get_payload(attr)),
                   mnl_attr_get_payload_len(attr));
    }
  });
  return bytes;
}

ElementData verdict_in(const nlattr* nest) {
  Verdict verdict;
  bool known = false;
  for_each_nested(nest, [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == NFTA_VERDICT_CODE) {
      const auto kind = to_verdict(static_cast<std::int32_t>(ntohl(mnl_attr_get_u32(attr))));
      known = kind.has_value();
      verdict.kind = kind.value_or(VerdictKind::kDrop);
    } else if (mnl_attr_get_type(attr) == NFTA_VERDICT_CHAIN) {
      verdict.chain = mnl_attr_get_str(attr);
    }
  });
  return known ? ElementData(std::move(verdict)) : ElementData();
}

ElementData data_in(const nlattr* nest) {
  ElementData data;
  for_each_nested(nest, [&data](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == NFTA_DATA_VERDICT) {
      data = verdict_in(attr);
    } else if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE) {
      data = from_bare(std::string(static_cast<const char*>(mnl_attr_get_payload(attr)),
                                   mnl_attr_get_payload_len(attr)));
    }
  });
  return data;
}

RawElement element_in(const nlattr* nest) {
  RawElement raw;
  for_each_nested(nest, [&raw](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case NFTA_SET_ELEM_KEY:
        raw.key = value_in(attr);
        break;
      case NFTA_SET_ELEM_KEY_END:
        raw.key_end = value_in(attr);
        break;
      case NFTA_SET_ELEM_FLAGS:
        raw.interval_end = (ntohl(mnl_attr_get_u32(attr)) &
                            static_cast<std::uint32_t>(NFT_SET_ELEM_INTERVAL_END)) != 0;
        break;
      case NFTA_SET_ELEM_DATA:
        raw.data = data_in(attr);
        break;
      default:
        break;
    }
  });
  return raw;
}

// Starts and ends of ranges, back into ranges.
Elements join_ranges(std::vector<RawElement> raw) {
  // At one key the end of the range before comes first.
  std::ranges::sort(raw, [](const RawElement& a, const RawElement& b) {
    return a.key != b.key ? a.key < b.key : a.interval_end && !b.interval_end;
  });
  Elements out;
  const RawElement* open = nullptr;
  const auto close = [&out, &open](std::string last) {
    if (open != nullptr) {
      out.insert_or_assign(range(from_bare(open->key), from_bare(std::move(last))), open->data);
      open = nullptr;
    }
  };
  for (const RawElement& element : raw) {
    close(predecessor(element.key));
    if (!element.interval_end) {
      open = &element;
    }
  }
  if (open != nullptr) {
    close(std::string(open->key.size(), '\xff'));
  }
  return out;
}

}  // namespace

std::vector<RawElement> to_raw(const SetSpec& spec,
                               const ElementKey& element_key,
                               const ElementData& data) {
  const Key& last = element_key.to.empty() ? element_key.from : element_key.to;
  if (!spec.interval) {
    return {{bare(spec, element_key.from), {}, false, data}};
  }
  if (!has_split_ranges(spec)) {
    return {{bare(spec, element_key.from), bare(spec, last), false, data}};
  }
  std::vector<RawElement> out{{bare(spec, element_key.from), {}, false, data}};
  std::string end = successor(bare(spec, last));
  if (!end.empty()) {
    out.push_back({std::move(end), {}, true, {}});
  }
  return out;
}

Elements from_raw(const SetSpec& spec, std::vector<RawElement> raw) {
  if (has_split_ranges(spec)) {
    return join_ranges(std::move(raw));
  }
  Elements out;
  for (RawElement& element : raw) {
    ElementKey element_key = element.key_end.empty() ? single(from_bare(std::move(element.key)))
                                                     : range(from_bare(std::move(element.key)),
                                                             from_bare(std::move(element.key_end)));
    out.insert_or_assign(std::move(element_key), std::move(element.data));
  }
  return out;
}

bool fits(const SetSpec& spec, const ElementKey& element_key, const ElementData& data) {
  const std::size_t width = padded(key_bytes(spec.key));
  if (element_key.from.bytes().size() != width ||
      (!element_key.to.empty() && (!spec.interval || element_key.to.bytes().size() != width))) {
    return false;
  }
  if (std::holds_alternative<VerdictData>(spec.data)) {
    return std::holds_alternative<Verdict>(data);
  }
  if (const auto* types = std::get_if<DataTypes>(&spec.data)) {
    const auto* value = std::get_if<Key>(&data);
    return value != nullptr && value->bytes().size() == padded(key_bytes(*types));
  }
  return std::holds_alternative<std::monostate>(data);
}

void put_element(nlmsghdr* message, const SetSpec& spec, const RawElement& raw, bool with_data) {
  nlattr* nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
  if (raw.interval_end) {
    mnl_attr_put_u32(
        message, NFTA_SET_ELEM_FLAGS, htonl(static_cast<std::uint32_t>(NFT_SET_ELEM_INTERVAL_END)));
  }
  put_value(message, NFTA_SET_ELEM_KEY, raw.key);
  if (!raw.key_end.empty()) {
    put_value(message, NFTA_SET_ELEM_KEY_END, raw.key_end);
  }
  if (with_data && !raw.interval_end) {
    if (const auto* verdict = std::get_if<Verdict>(&raw.data)) {
      put_verdict(message, *verdict);
    } else if (const auto* value = std::get_if<Key>(&raw.data)) {
      const auto* types = std::get_if<DataTypes>(&spec.data);
      put_value(message,
                NFTA_SET_ELEM_DATA,
                value->bytes().substr(0, types != nullptr ? key_bytes(*types) : 0));
    }
  }
  mnl_attr_nest_end(message, nest);
}

void parse_elements(const nlmsghdr* message, std::vector<RawElement>& into) {
  const auto* start =
      static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (const auto* attr = reinterpret_cast<const nlattr*>(start);
       mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)));
       attr = mnl_attr_next(attr)) {
    if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS) {
      for_each_nested(attr,
                      [&into](const nlattr* element) { into.push_back(element_in(element)); });
    }
  }
}

}  // namespace margay::nft
