#pragma once
// PagedVector: an array that grows a page at a time. Elements never move, so growth copies nothing
// and needs no second copy of the whole while it runs: a table of a million routes peaks at its
// size.

#include <cstddef>
#include <memory>
#include <vector>

namespace margay::bgp {

// 2^kPageBits elements a page.
template <typename T, unsigned kPageBits = 10>
class PagedVector {
 public:
  [[nodiscard]] T& operator[](std::size_t at) { return pages_[at >> kPageBits][at & kMask]; }
  [[nodiscard]] const T& operator[](std::size_t at) const {
    return pages_[at >> kPageBits][at & kMask];
  }
  [[nodiscard]] std::size_t size() const { return size_; }

  // One more, value-initialised; its place.
  std::size_t push() {
    grow(size_ + 1);
    return size_ - 1;
  }
  // At least that many.
  void grow(std::size_t size) {
    while (pages_.size() << kPageBits < size) {
      pages_.push_back(std::make_unique<T[]>(kMask + 1));
    }
    size_ = size > size_ ? size : size_;
  }

 private:
  static constexpr std::size_t kMask = (std::size_t{1} << kPageBits) - 1;

  std::vector<std::unique_ptr<T[]>> pages_;
  std::size_t size_ = 0;
};

}  // namespace margay::bgp
