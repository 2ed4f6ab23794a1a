#pragma once
// Rules of a container with several interfaces: packets from the address of one leave by it, by a
// routing table of its own, as nobody else would take them.

#include "base/ip_addr.h"
#include "base/result.h"
#include "base/strong.h"

#include <span>
#include <string_view>

namespace margay {

// The table of an interface, from its name: the same each time it is made.
[[nodiscard]] TableId table_of_interface(const IfName& name);

// In the calling thread's network namespace. These addresses use the table, and no others do.
[[nodiscard]] Result<void> set_source_rules(std::span<const IpAddr> sources, TableId table);

}  // namespace margay
