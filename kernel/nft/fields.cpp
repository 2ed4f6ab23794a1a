#include "kernel/nft/fields.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

namespace margay::nft {
namespace {

constexpr std::uint32_t kSaddr4 = 12;  // offsets in the headers
constexpr std::uint32_t kDaddr4 = 16;
constexpr std::uint32_t kSaddr6 = 8;
constexpr std::uint32_t kDaddr6 = 24;

constexpr auto kFields = std::to_array<FieldCode>({
    {Field::kIpSaddr, Loader::kPayload, NFT_PAYLOAD_NETWORK_HEADER, kSaddr4, 4, NFPROTO_IPV4, 0},
    {Field::kIpDaddr, Loader::kPayload, NFT_PAYLOAD_NETWORK_HEADER, kDaddr4, 4, NFPROTO_IPV4, 0},
    {Field::kIp6Saddr, Loader::kPayload, NFT_PAYLOAD_NETWORK_HEADER, kSaddr6, 16, NFPROTO_IPV6, 0},
    {Field::kIp6Daddr, Loader::kPayload, NFT_PAYLOAD_NETWORK_HEADER, kDaddr6, 16, NFPROTO_IPV6, 0},
    {Field::kThSport, Loader::kPayload, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, 0, 0},
    {Field::kThDport, Loader::kPayload, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 0, 0},
    {Field::kIcmpType,
     Loader::kPayload,
     NFT_PAYLOAD_TRANSPORT_HEADER,
     0,
     1,
     NFPROTO_IPV4,
     kIcmp.value()},
    {Field::kIcmpCode,
     Loader::kPayload,
     NFT_PAYLOAD_TRANSPORT_HEADER,
     1,
     1,
     NFPROTO_IPV4,
     kIcmp.value()},
    {Field::kIcmpv6Type,
     Loader::kPayload,
     NFT_PAYLOAD_TRANSPORT_HEADER,
     0,
     1,
     NFPROTO_IPV6,
     kIcmpv6.value()},
    {Field::kIcmpv6Code,
     Loader::kPayload,
     NFT_PAYLOAD_TRANSPORT_HEADER,
     1,
     1,
     NFPROTO_IPV6,
     kIcmpv6.value()},
    {Field::kNfProto, Loader::kMeta, NFT_META_NFPROTO, 0, 1, 0, 0},
    {Field::kL4Proto, Loader::kMeta, NFT_META_L4PROTO, 0, 1, 0, 0},
    {Field::kIifName, Loader::kMeta, NFT_META_IIFNAME, 0, 16, 0, 0},
    {Field::kOifName, Loader::kMeta, NFT_META_OIFNAME, 0, 16, 0, 0},
    {Field::kMark, Loader::kMeta, NFT_META_MARK, 0, 4, 0, 0},
    {Field::kCtState, Loader::kCt, NFT_CT_STATE, 0, 4, 0, 0},
    {Field::kCtStatus, Loader::kCt, NFT_CT_STATUS, 0, 4, 0, 0},
    {Field::kCtDirection, Loader::kCt, NFT_CT_DIRECTION, 0, 1, 0, 0},
    {Field::kCtMark, Loader::kCt, NFT_CT_MARK, 0, 4, 0, 0},
    {Field::kFibSaddrIif,
     Loader::kFib,
     NFT_FIB_RESULT_OIF,
     NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT,
     4,
     0,
     0},
    {Field::kFibDaddrType, Loader::kFib, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, 4, 0, 0},
    {Field::kFibSaddrType, Loader::kFib, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_SADDR, 4, 0, 0},
});

constexpr auto kTypes = std::to_array<TypeCode>({
    {DataType::kIpv4Addr, 7, 4, false},
    {DataType::kIpv6Addr, 8, 16, false},
    {DataType::kInetProto, 12, 1, false},
    {DataType::kInetService, 13, 2, false},
    {DataType::kIfName, 41, 16, true},
    {DataType::kMark, 19, 4, true},
});

}  // namespace

const FieldCode& code_of(Field field) {
  // The rows are in the order of the enumeration.
  const FieldCode& code = kFields.at(static_cast<std::size_t>(field));
  MARGAY_ASSERT(code.field == field);
  return code;
}

std::span<const FieldCode> all_fields() {
  return kFields;
}

const TypeCode& code_of(DataType type) {
  const TypeCode& code = kTypes.at(static_cast<std::size_t>(type));
  MARGAY_ASSERT(code.type == type);
  return code;
}

std::optional<DataType> type_of(std::uint32_t number) {
  for (const TypeCode& code : kTypes) {
    if (code.number == number) {
      return code.type;
    }
  }
  return std::nullopt;
}

std::uint32_t key_bytes(const DataTypes& types) {
  if (types.size() == 1) {
    return code_of(types.front()).bytes;
  }
  std::uint32_t bytes = 0;
  for (const DataType type : types) {
    bytes += static_cast<std::uint32_t>(padded(code_of(type).bytes));
  }
  return bytes;
}

}  // namespace margay::nft
