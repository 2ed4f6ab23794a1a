#pragma once
// What the demo prints and what it found wrong.

#include <string>
#include <vector>

namespace margay::lab {

class Report {
 public:
  void title(const std::string& text);
  void text(const std::string& text);
  // Indented, cut at 100 columns.
  void block(const std::string& text);
  // A claim: printed with its result, remembered when it does not hold.
  bool check(bool holds, const std::string& claim, const std::string& instead = {});

  [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
  std::vector<std::string> failures_;
};

}  // namespace margay::lab
