#pragma once
// TimerSet<Id>: the deadlines of a pure protocol object. It reads no clock; the driver passes the
// time in.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace margay {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

template <typename Id>
class TimerSet {
 public:
  // Starts or restarts a timer.
  void start(Id id, TimePoint deadline) {
    stop(id);
    deadline_of_.emplace(id, deadline);
    order_.emplace(deadline, id);
  }
  void stop(Id id) {
    if (const auto found = deadline_of_.find(id); found != deadline_of_.end()) {
      order_.erase({found->second, id});
      deadline_of_.erase(found);
    }
  }
  void stop_all() {
    deadline_of_.clear();
    order_.clear();
  }

  [[nodiscard]] bool running(Id id) const { return deadline_of_.contains(id); }
  [[nodiscard]] std::optional<TimePoint> next_deadline() const {
    return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
  }
  // Removes and returns one timer that is due, earliest first; nothing when none is.
  std::optional<Id> pop_due(TimePoint now) {
    if (order_.empty() || order_.begin()->first > now) {
      return std::nullopt;
    }
    const Id id = order_.begin()->second;
    stop(id);
    return id;
  }

 private:
  std::map<Id, TimePoint> deadline_of_;
  std::set<std::pair<TimePoint, Id>> order_;
};

}  // namespace margay
