#pragma once
// Replays a record (bgp/monitor/record.h) through a machine and a table that are new, and holds
// what they decide against what was decided then. Pure: the times are those of the record.

#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp {

struct ReplayReport {
  std::string peer;
  std::string time;           // when the record was begun
  std::size_t inputs = 0;     // replayed
  std::size_t decisions = 0;  // compared: of the machine, and answers of the table
  // "line 12: decided \"...\", recorded is \"...\"". The first one ends the replay, as what comes
  // behind it follows from it.
  std::string difference;
  bool complete = false;  // the record has its end
};

// Fails where the text is no record. A last line that was cut off is left out.
[[nodiscard]] Result<ReplayReport> replay_record(std::string_view text);

}  // namespace margay::bgp
