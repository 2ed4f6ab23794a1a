#pragma once
// Table: left-aligned columns separated by two spaces, as people read them and scripts cut them. A
// table wider than the limit is narrowed at its widest columns, cut texts end in "…"; the first
// column is never cut.

#include <cstddef>
#include <string>
#include <vector>

namespace margay::cli {

inline constexpr std::size_t kTableWidth = 100;

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

  // One cell per column; missing ones are empty.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // The table with a line per row. max_width 0: as wide as it is.
  [[nodiscard]] std::string str(std::size_t max_width = kTableWidth) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// "3d4h", "12m", "45s": a duration as kubectl prints an age.
[[nodiscard]] std::string age(long long seconds);
// Parts joined by a separator; "-" for none.
[[nodiscard]] std::string join(const std::vector<std::string>& parts,
                               const std::string& separator = ",");

}  // namespace margay::cli
