#pragma once
// ScopeExit undoes a partial set-up: it runs its function at the end of the scope unless dismissed
// on the last line.

#include <utility>

namespace margay {

template <typename F>
class ScopeExit {
 public:
  explicit ScopeExit(F undo) : undo_(std::move(undo)) {}
  ~ScopeExit() {
    if (armed_) {
      undo_();
    }
  }
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;

  void dismiss() { armed_ = false; }

 private:
  F undo_;
  bool armed_ = true;
};

}  // namespace margay
