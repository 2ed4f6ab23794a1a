#pragma once
// Documents of the network and address-management kinds. Internal to api/.

#include "api/codec.h"
#include "api/ipam.h"
#include "api/network.h"

namespace margay::api {

void describe(Reader& visit, Node& node);
void describe(Writer& visit, Node& node);
void describe(Reader& visit, IPPool& pool);
void describe(Writer& visit, IPPool& pool);
void describe(Reader& visit, BGPConfiguration& config);
void describe(Writer& visit, BGPConfiguration& config);
void describe(Reader& visit, BGPPeer& peer);
void describe(Writer& visit, BGPPeer& peer);
void describe(Reader& visit, FelixConfiguration& config);
void describe(Writer& visit, FelixConfiguration& config);
void describe(Reader& visit, IPAMBlock& block);
void describe(Writer& visit, IPAMBlock& block);
void describe(Reader& visit, IPAMHandle& handle);
void describe(Writer& visit, IPAMHandle& handle);
void describe(Reader& visit, IPAMConfiguration& config);
void describe(Writer& visit, IPAMConfiguration& config);
void describe(Reader& visit, BlockAffinity& affinity);
void describe(Writer& visit, BlockAffinity& affinity);

}  // namespace margay::api
