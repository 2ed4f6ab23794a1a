#pragma once
// What a speaker tells collectors and files of its sessions: how that is set, and how it goes.

#include "base/ip_addr.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace margay::bgp {

inline constexpr std::uint16_t kBmpPort = 11019;

// One monitoring station (RFC 7854). We connect to it.
struct BmpSettings {
  IpAddr address;
  std::uint16_t port = kBmpPort;
  bool post_policy = false;             // also what the import filters left
  std::chrono::seconds statistics{60};  // between reports; 0: none
  std::string name;                     // of this router; empty: the host's
  bool operator==(const BmpSettings&) const = default;
};

struct BmpStatus {
  BmpSettings settings;
  bool connected = false;
  bool in_sync = false;                         // it was told the whole table
  std::chrono::system_clock::time_point since;  // connected, or not
  std::string last_error;                       // of the last connection or attempt
  std::uint64_t messages = 0;                   // sent on all connections
  std::uint64_t waiting_bytes = 0;
  std::uint32_t lost = 0;  // connections that ended
};

// Files in a directory (RFC 6396): updates.DATE.TIME.mrt and table.DATE.TIME.mrt, in UTC.
struct MrtSettings {
  std::string directory;
  bool updates = true;               // UPDATEs and changes of state
  std::chrono::seconds rotate{900};  // a new file of updates, at multiples of it
  std::chrono::seconds table{7200};  // a dump of the table, at multiples of it; 0: on request
  std::uint32_t keep = 96;           // files of each kind; older ones are removed
  bool operator==(const MrtSettings&) const = default;
};

struct MrtStatus {
  MrtSettings settings;
  std::string updates_file;   // that is written now
  std::string table_file;     // the last one that is whole
  std::uint64_t records = 0;  // written
  std::uint64_t lost = 0;     // records that could not be written
  std::string last_error;     // empty: the last write went well
};

// A dump of the table that was asked for.
struct TableDump {
  std::string file;
  bool whole = true;  // false: it is still written, and gets this name when it is whole
};

// A peer's events, for margay-bgpd --replay: NAME.jsonl, and NAME.1.jsonl for the one before.
struct RecordSettings {
  std::string directory;
  std::uint64_t max_bytes = 64U << 20U;  // of a file; then the next begins with the next session
  bool operator==(const RecordSettings&) const = default;
};

}  // namespace margay::bgp
