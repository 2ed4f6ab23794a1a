#include "bgp/bgpd_monitoring.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace margay::bgp {

namespace {

Result<std::string> directory(const std::string& text) {
  if (text.size() < 2 || text.front() != '/') {
    return fail(Errc::kInvalid, "\"{}\": expected a directory as an absolute path", text);
  }
  return text;
}

auto seconds_from(std::uint32_t lowest, std::uint32_t highest) {
  return [lowest, highest](const std::string& text) -> Result<std::chrono::seconds> {
    const auto value = number(lowest, highest)(text);
    return value ? Result<std::chrono::seconds>(std::chrono::seconds(*value)) : fail(value.error());
  };
}

Result<void> read_collector(const Section& section, std::vector<BmpSettings>& into) {
  constexpr std::uint32_t kLongest = 86'400;
  BmpSettings bmp;
  for (const auto& step : {
           section.expect({"address", "port", "post_policy", "statistics_s", "name"}),
           section.read("address", bmp.address, &IpAddr::parse),
           section.read("port", bmp.port, number<std::uint16_t>(1, 65535)),
           section.read("post_policy", bmp.post_policy, boolean),
           section.read("statistics_s", bmp.statistics, seconds_from(0, kLongest)),
           section.read("name",
                        bmp.name,
                        [](const std::string& text) -> Result<std::string> { return text; }),
       }) {
    if (!step) {
      return step;
    }
  }
  if (!section.has("address")) {
    return section.wrong("address", "missing");
  }
  const bool twice = std::ranges::any_of(into, [&bmp](const BmpSettings& other) {
    return other.address == bmp.address && other.port == bmp.port;
  });
  if (twice) {
    return section.wrong("address", "the same collector is there twice");
  }
  into.push_back(std::move(bmp));
  return {};
}

}  // namespace

Result<void> read_bmp(const Section& root, std::vector<BmpSettings>& into) {
  const YAML::Node found = root.get("bmp");
  if (!found.IsDefined() || found.IsNull()) {
    return {};
  }
  if (found.IsMap()) {
    return read_collector(root.section("bmp"), into);
  }
  if (!found.IsSequence()) {
    return root.wrong("bmp", "expected a collector, or a list of them");
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Section section(found[i], fmt::format("bmp[{}]", i), root.file());
    if (auto read = read_collector(section, into); !read) {
      return read;
    }
  }
  return {};
}

Result<void> read_mrt(const Section& root, std::optional<MrtSettings>& into) {
  if (!root.has("mrt")) {
    return {};
  }
  constexpr std::uint32_t kLongest = 604'800;
  constexpr std::uint32_t kMostFiles = 100'000;
  const Section section = root.section("mrt");
  MrtSettings mrt;
  for (const auto& step : {
           section.expect({"directory", "updates", "rotate_s", "table_s", "keep"}),
           section.read("directory", mrt.directory, directory),
           section.read("updates", mrt.updates, boolean),
           section.read("rotate_s", mrt.rotate, seconds_from(1, kLongest)),
           section.read("table_s", mrt.table, seconds_from(0, kLongest)),
           section.read("keep", mrt.keep, number<std::uint32_t>(1, kMostFiles)),
       }) {
    if (!step) {
      return step;
    }
  }
  if (!section.has("directory")) {
    return section.wrong("directory", "missing");
  }
  into = std::move(mrt);
  return {};
}

Result<void> read_record(const Section& section, std::optional<RecordSettings>& into) {
  if (!section.has("record")) {
    return {};
  }
  constexpr std::uint64_t kMostMegabytes = 65536;
  constexpr unsigned kMegabyteBits = 20;
  const Section fields = section.section("record");
  RecordSettings record;
  std::uint64_t megabytes = record.max_bytes >> kMegabyteBits;
  for (const auto& step : {
           fields.expect({"directory", "max_mb"}),
           fields.read("directory", record.directory, directory),
           fields.read("max_mb", megabytes, number<std::uint64_t>(1, kMostMegabytes)),
       }) {
    if (!step) {
      return step;
    }
  }
  if (!fields.has("directory")) {
    return fields.wrong("directory", "missing");
  }
  record.max_bytes = megabytes << kMegabyteBits;
  into = std::move(record);
  return {};
}

}  // namespace margay::bgp
