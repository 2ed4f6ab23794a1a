#pragma once
// ReleaseJournal: the containers whose DEL was answered while the store was away, so that their
// addresses are released when it is back, also by the next agent.
//
// One small file, replaced as a whole: written beside, synced, renamed, the directory synced. So it
// is the old or the new one after a crash at any point. A second file has room that was set aside:
// on a disk that is full by then, lines are added there in place. Not for several threads at once.

#include "base/result.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace margay::felix {

struct PendingRelease {
  std::string container_id;
  std::string ifname;
  std::string handle;
  std::string ns;        // of the endpoint
  std::string endpoint;  // its name
  bool operator==(const PendingRelease&) const = default;
};

// One line with its end; no field can hold a tab or a line break, they are names.
[[nodiscard]] std::string format_release(const PendingRelease& entry);
[[nodiscard]] std::optional<PendingRelease> parse_release(std::string_view line);

class ReleaseJournal {
 public:
  // Reads what is there; nothing when there is no file. Lines that do not decode are dropped.
  explicit ReleaseJournal(std::string state_dir);

  [[nodiscard]] const std::vector<PendingRelease>& entries() const { return entries_; }
  // Durable when it returns; adding what is there already changes nothing.
  [[nodiscard]] Result<void> add(const PendingRelease& entry);
  // One write for all of them; those that are not there are no failure.
  [[nodiscard]] Result<void> remove(std::span<const PendingRelease> done);

 private:
  [[nodiscard]] Result<void> write(const std::vector<PendingRelease>& entries);
  void read(const std::string& path);
  void reserve() const;
  [[nodiscard]] Result<void> append_to_reserve(const PendingRelease& entry);
  void clear_reserve();

  std::string directory_;
  std::size_t reserve_used_ = 0;
  std::vector<PendingRelease> entries_;
};

}  // namespace margay::felix
