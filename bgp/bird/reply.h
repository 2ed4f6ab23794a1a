#pragma once
// Answers on BIRD's control socket: lines with a code of four digits, the last one with a blank
// behind it. Pure.
//
//   1002-peer-node2 BGP  ---  up  ...     more follows
//    BGP state:  Established              the same code as the line before
//   0000                                  the end

#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp::bird {

struct ReplyLine {
  unsigned code = 0;
  std::string text;
  bool operator==(const ReplyLine&) const = default;
};

struct Reply {
  std::vector<ReplyLine> lines;  // the last one ends it

  [[nodiscard]] unsigned code() const { return lines.empty() ? 0 : lines.back().code; }
  // 8xxx: could not be done; 9xxx: was not understood.
  [[nodiscard]] bool failed() const;
  // What went wrong, in BIRD's words.
  [[nodiscard]] std::string failure() const;
};

// Takes bytes as they come.
class ReplyReader {
 public:
  // True once a whole answer is there; then take() it.
  [[nodiscard]] bool feed(std::string_view bytes);
  [[nodiscard]] Reply take();
  // A line that is none of the protocol came: the connection is of no use any more.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  void line(std::string_view text);

  std::string partial_;
  Reply reply_;
  bool complete_ = false;
  bool broken_ = false;
};

}  // namespace margay::bgp::bird
