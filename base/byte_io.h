#pragma once
// ByteReader and ByteWriter: bounded cursors over network-order bytes.
//
// The reader fails stickily: after the first read past the end every read returns zero or an empty
// span, and ok() is false. Read a whole structure, then check once. It never reads outside its span
// and never throws.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace margay {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  // The next `count` bytes; empty and failed if fewer are left.
  std::span<const std::uint8_t> bytes(std::size_t count) {
    if (count > remaining()) {
      failed_ = true;
      position_ = bytes_.size();
      return {};
    }
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }
  // A reader over the next `count` bytes; failed from the start if fewer are left.
  ByteReader sub(std::size_t count) {
    const bool enough = count <= remaining();
    ByteReader reader(bytes(count));
    reader.failed_ = !enough;
    return reader;
  }
  std::span<const std::uint8_t> rest() { return bytes(remaining()); }
  void fail() {
    failed_ = true;
    position_ = bytes_.size();
  }

  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - position_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] bool empty() const { return remaining() == 0; }
  [[nodiscard]] bool ok() const { return !failed_; }

 private:
  std::uint64_t number(std::size_t count) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : bytes(count)) {
      value = (value << 8U) | byte;
    }
    return value;
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

class ByteWriter {
 public:
  void u8(std::uint8_t value) { out_.push_back(value); }
  void u16(std::uint16_t value) { number(value, 2); }
  void u32(std::uint32_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void bytes(std::span<const std::uint8_t> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  // Overwrites an earlier number, for lengths known only afterwards. The place must have been
  // written.
  void patch_u8(std::size_t at, std::uint8_t value) { out_.at(at) = value; }
  void patch_u16(std::size_t at, std::uint16_t value) {
    out_.at(at) = static_cast<std::uint8_t>(value >> 8U);
    out_.at(at + 1) = static_cast<std::uint8_t>(value);
  }
  void truncate(std::size_t size) { out_.resize(size); }

  [[nodiscard]] const std::vector<std::uint8_t>& data() const { return out_; }
  [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(out_); }

 private:
  void number(std::uint64_t value, std::size_t count) {
    for (std::size_t i = count; i-- > 0;) {
      out_.push_back(static_cast<std::uint8_t>(value >> (8U * i)));
    }
  }

  std::vector<std::uint8_t> out_;
};

}  // namespace margay
