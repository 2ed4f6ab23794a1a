#include "cli/table.h"

#include <algorithm>
#include <numeric>

namespace margay::cli {

namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kNarrowest = 6;

// Columns on a terminal: UTF-8 continuation bytes take none.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string cut(const std::string& text, std::size_t width) {
  if (columns(text) <= width) {
    return text;
  }
  std::string out;
  std::size_t taken = 0;
  for (const char c : text) {
    const bool starts = (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    if (starts && taken + 1 == width) {
      break;
    }
    taken += starts ? 1 : 0;
    out += c;
  }
  return out + "…";
}

// Takes from the widest column but the first until the table fits.
void narrow(std::vector<std::size_t>& widths, std::size_t max_width) {
  const auto total = [&widths] {
    return std::accumulate(widths.begin(), widths.end(), std::size_t{0}) +
           kGap * (widths.size() - 1);
  };
  while (max_width != 0 && widths.size() > 1 && total() > max_width) {
    const auto widest = std::max_element(widths.begin() + 1, widths.end());
    if (*widest <= kNarrowest) {
      return;
    }
    --*widest;
  }
}

}  // namespace

std::string Table::str(std::size_t max_width) const {
  std::vector<std::size_t> widths(header_.size());
  const auto widen = [&widths](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < std::min(row.size(), widths.size()); ++i) {
      widths[i] = std::max(widths[i], columns(row[i]));
    }
  };
  widen(header_);
  std::ranges::for_each(rows_, widen);
  narrow(widths, max_width);

  std::string out;
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = cut(i < row.size() ? row[i] : std::string(), widths[i]);
      line += cell + std::string(widths[i] - columns(cell) + kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  print(header_);
  std::ranges::for_each(rows_, print);
  return out;
}

std::string age(long long seconds) {
  constexpr long long kMinute = 60;
  constexpr long long kHour = 60 * kMinute;
  constexpr long long kDay = 24 * kHour;
  seconds = std::max(seconds, 0LL);
  const auto two =
      [](long long big, const char* big_unit, long long small, const char* small_unit) {
        return std::to_string(big) + big_unit +
               (small == 0 ? std::string() : std::to_string(small) + small_unit);
      };
  if (seconds < 2 * kMinute) {
    return std::to_string(seconds) + "s";
  }
  if (seconds < kHour) {
    return std::to_string(seconds / kMinute) + "m";
  }
  if (seconds < kDay) {
    return two(seconds / kHour, "h", seconds % kHour / kMinute, "m");
  }
  return two(seconds / kDay, "d", seconds % kDay / kHour, "h");
}

std::string join(const std::vector<std::string>& parts, const std::string& separator) {
  if (parts.empty()) {
    return "-";
  }
  return std::accumulate(
      parts.begin() + 1, parts.end(), parts.front(), [&](std::string sum, const std::string& part) {
        return std::move(sum) + separator + part;
      });
}

}  // namespace margay::cli
