#include "bench/bgp/speaker_config.h"

#include <fmt/format.h>

#include <fstream>

namespace margay::bench {

namespace fs = std::filesystem;

namespace {

bool internal(const Neighbor& neighbor) {
  return neighbor.asn == kSpeakerAsn;
}

std::vector<SpeakerProgram> prepare_margay(const SpeakerPlan& plan, const fs::path& folder) {
  const fs::path path = folder / "bgpd.yaml";
  std::ofstream config(path);
  config << fmt::format(
      "router: {{asn: {}, id: {}, listen: [\"{}:179\"], fib: {{ipv4: {}, ipv6: false}}}}\n"
      "groups:\n"
      "  external: {{passive: true, import: accept, export: accept}}\n"
      "  internal: {{passive: true{}{}}}\n"
      "peers:\n",
      kSpeakerAsn.value(),
      speaker_address().str(),
      speaker_address().str(),
      plan.kernel_routes,
      plan.reflector ? ", route_reflector_client: true" : "",
      plan.bfd.count() != 0
          ? fmt::format(", export: nothing, bfd: {{interval_ms: {}, multiplier: 3}}",
                        plan.bfd.count())
          : "");
  for (const Neighbor& neighbor : plan.neighbors) {
    config << fmt::format("  - {{address: {}, asn: {}, group: {}}}\n",
                          neighbor.address.str(),
                          neighbor.asn.value(),
                          internal(neighbor) ? "internal" : "external");
  }
  config << "filters: {nothing: [{action: reject}]}\n"
         << "control: " << (folder / "bgpd.sock").string() << "\n";
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "margay-bgpd";
  return {{{program.string(), "--config", path.string()}, {}}};
}

// `direct`: every next hop is on the one network, so there is nothing to resolve.
std::vector<SpeakerProgram> prepare_bird(const SpeakerPlan& plan, const fs::path& folder) {
  const fs::path path = folder / "bird.conf";
  std::ofstream config(path);
  config << fmt::format("router id {};\nprotocol device {{}}\n", speaker_address().str());
  if (plan.kernel_routes) {
    config << "protocol kernel { ipv4 { import none; export all; }; }\n";
  }
  config << fmt::format(
      "template bgp bench {{\n  local {} as {};\n  passive;\n  direct;\n{}"
      "  ipv4 {{ import all; export all; }};\n}}\n",
      speaker_address().str(),
      kSpeakerAsn.value(),
      plan.reflector ? "  rr client;\n" : "");
  for (const Neighbor& neighbor : plan.neighbors) {
    config << fmt::format("protocol bgp from bench {{ neighbor {} as {}; }}\n",
                          neighbor.address.str(),
                          neighbor.asn.value());
  }
  return {{{"bird",
            "-f",
            "-c",
            path.string(),
            "-s",
            (folder / "bird.ctl").string(),
            "-P",
            (folder / "bird.pid").string()},
           {}}};
}

// With everything in the folder, where its own user may write.
std::vector<std::string> frr_program(const std::string& name,
                                     const fs::path& config,
                                     const fs::path& folder) {
  return {"/usr/lib/frr/" + name,
          "-f",
          config.string(),
          "-i",
          (folder / (name + ".pid")).string(),
          "--vty_socket",
          folder.string(),
          "--log",
          "stdout",
          "-A",
          "127.0.0.1",
          "-P",
          "0"};
}

std::string frr_config(const SpeakerPlan& plan, bool eager) {
  std::string out = fmt::format(
      "router bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n"
      " no bgp network import-check\n{} neighbor internal peer-group\n"
      " neighbor internal remote-as {}\n neighbor internal passive\n",
      kSpeakerAsn.value(),
      speaker_address().str(),
      eager ? " coalesce-time 0\n" : "",
      kSpeakerAsn.value());
  for (const Neighbor& neighbor : plan.neighbors) {
    const std::string address = neighbor.address.str();
    out += internal(neighbor) ? fmt::format(" neighbor {} peer-group internal\n", address)
                              : fmt::format(" neighbor {0} remote-as {1}\n neighbor {0} passive\n",
                                            address,
                                            neighbor.asn.value());
  }
  if (plan.reflector) {
    out +=
        " address-family ipv4 unicast\n  neighbor internal route-reflector-client\n"
        " exit-address-family\n";
  }
  return out;
}

std::vector<SpeakerProgram> prepare_frr(const SpeakerPlan& plan,
                                        const fs::path& folder,
                                        bool eager) {
  std::error_code ignored;
  fs::permissions(folder, fs::perms::all, ignored);
  const fs::path path = folder / "bgpd.conf";
  std::ofstream(path) << frr_config(plan, eager);
  auto bgpd = frr_program("bgpd", path, folder);
  if (!plan.kernel_routes) {
    bgpd.insert(bgpd.end(), {"-Z"});
    return {{bgpd, {}}};
  }
  const fs::path zebra_path = folder / "zebra.conf";
  std::ofstream(zebra_path) << "hostname bench\n";
  const fs::path api = folder / "zserv.api";
  auto zebra = frr_program("zebra", zebra_path, folder);
  zebra.insert(zebra.end(), {"-z", api.string()});
  bgpd.insert(bgpd.end(), {"-z", api.string()});
  return {{zebra, api}, {bgpd, {}}};
}

std::vector<SpeakerProgram> prepare_gobgp(const SpeakerPlan& plan, const fs::path& folder) {
  const fs::path path = folder / "gobgp.toml";
  std::ofstream config(path);
  config << fmt::format(
      "[global.config]\nas = {}\nrouter-id = \"{}\"\nlocal-address-list = [\"{}\"]\n",
      kSpeakerAsn.value(),
      speaker_address().str(),
      speaker_address().str());
  for (const Neighbor& neighbor : plan.neighbors) {
    config << fmt::format(
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n"
        "[neighbors.transport.config]\npassive-mode = true\n",
        neighbor.address.str(),
        neighbor.asn.value());
    if (plan.reflector && internal(neighbor)) {
      config << fmt::format(
          "[neighbors.route-reflector.config]\nroute-reflector-client = true\n"
          "route-reflector-cluster-id = \"{}\"\n",
          speaker_address().str());
    }
    config << "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n"
              "afi-safi-name = \"ipv4-unicast\"\n";
  }
  return {{{"gobgpd", "-f", path.string(), "--pprof-disable"}, {}}};
}

std::vector<SpeakerProgram> prepare_openbgpd(const SpeakerPlan& plan, const fs::path& folder) {
  // Where its unprivileged processes are confined to; compiled in.
  std::error_code ignored;
  fs::create_directories("/run/openbgpd", ignored);
  const fs::path path = folder / "openbgpd.conf";
  std::ofstream config(path);
  config << fmt::format(
      "AS {}\nrouter-id {}\nfib-update no\nlisten on {}\nsocket \"{}\"\n"
      "allow from any\nallow to any\n",
      kSpeakerAsn.value(),
      speaker_address().str(),
      speaker_address().str(),
      (folder / "bgpd.sock").string());
  for (const Neighbor& neighbor : plan.neighbors) {
    config << fmt::format(
        "neighbor {} {{\n  remote-as {}\n  passive\n  announce IPv4 unicast\n"
        "  announce IPv6 none\n{}}}\n",
        neighbor.address.str(),
        neighbor.asn.value(),
        plan.reflector && internal(neighbor) ? "  route-reflector\n" : "");
  }
  return {{{"/usr/sbin/bgpd", "-d", "-f", path.string()}, {}}};
}

}  // namespace

IpAddr speaker_address() {
  return IpAddr::v4(0x0A000001);
}

std::string_view name_of(SpeakerKind kind) {
  switch (kind) {
    case SpeakerKind::kMargay:
      return "margay-bgpd";
    case SpeakerKind::kBird:
      return "BIRD 2";
    case SpeakerKind::kFrr:
      return "FRR 8";
    case SpeakerKind::kFrrEager:
      return "FRR 8, coalesce 0";
    case SpeakerKind::kGobgp:
      return "GoBGP 3";
    case SpeakerKind::kOpenbgpd:
      return "OpenBGPD 7";
  }
  return "";
}

bool writes_kernel_routes(SpeakerKind kind) {
  return kind != SpeakerKind::kGobgp && kind != SpeakerKind::kOpenbgpd;
}

std::vector<SpeakerProgram> prepare_speaker(SpeakerKind kind,
                                            const SpeakerPlan& plan,
                                            const fs::path& folder) {
  switch (kind) {
    case SpeakerKind::kMargay:
      return prepare_margay(plan, folder);
    case SpeakerKind::kBird:
      return prepare_bird(plan, folder);
    case SpeakerKind::kFrr:
      return prepare_frr(plan, folder, false);
    case SpeakerKind::kFrrEager:
      return prepare_frr(plan, folder, true);
    case SpeakerKind::kGobgp:
      return prepare_gobgp(plan, folder);
    case SpeakerKind::kOpenbgpd:
      return prepare_openbgpd(plan, folder);
  }
  return {};
}

}  // namespace margay::bench
