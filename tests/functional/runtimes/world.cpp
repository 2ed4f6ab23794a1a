#include "tests/functional/runtimes/world.h"

#include "tests/lab/wait.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

namespace margay::lab {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

void make_rootfs(const fs::path& root) {
  for (const char* folder : {"bin", "etc", "proc", "sys", "dev", "tmp", "root", "run"}) {
    fs::create_directories(root / folder);
  }
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  for (const char* applet :
       {"sh", "httpd", "nc", "printf", "sleep", "echo", "mkdir", "ip", "cat"}) {
    fs::create_symlink("busybox", root / "bin" / applet);
  }
  write_file(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  for (const char* file : {"etc/hosts", "etc/resolv.conf", "etc/hostname"}) {
    write_file(root / file, "");
  }
}

}  // namespace

void write_file(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

ExecResult run_shell(const std::string& line, std::chrono::milliseconds timeout) {
  Command command;
  command.argv = {"sh", "-c", line};
  command.env = {{"PATH", kSystemPath}, {"HOME", "/root"}};
  command.timeout = timeout;
  auto done = lab::run(command);
  return done ? std::move(*done) : ExecResult{kCannotStart, "", done.error().text};
}

RuntimeWorld::RuntimeWorld(const std::string& name) {
  std::string pattern = fs::temp_directory_path() / "margay-rt-XXXXXX";
  scratch_ = ::mkdtemp(pattern.data());
  make_rootfs(rootfs());
  LabOptions options;
  options.name = name;
  options.replace = true;
  auto lab = Lab::up(fs::path(MARGAY_SOURCE_DIR) / "containerlab/pair/pair.clab.yml", options);
  REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
  cluster_ = std::make_unique<Cluster>(std::move(*lab));
  for (const char* node : {"node1", "node2"}) {
    REQUIRE_MESSAGE(cluster_->wait_ready(node), cluster_->lab().node(node).read_log("margayd"));
  }
}

RuntimeWorld::~RuntimeWorld() {
  std::error_code ignored;
  fs::remove_all(scratch_, ignored);
}

std::string RuntimeWorld::left_since(const std::string& name, const Traces& before) {
  std::string left;
  (void)wait_until(
      [&] {
        left = difference(before, traces(name));
        return left.empty();
      },
      std::chrono::seconds(30),
      std::chrono::milliseconds(200));
  return left;
}

std::string conflist(const fs::path& run_dir) {
  const json::object plugin{
      {"type", "margay"},
      {"run_dir", run_dir.string()},
      {"capabilities", {{"portMappings", true}, {"ips", true}, {"mac", true}, {"bandwidth", true}}},
      {"ipam", {{"type", "margay-ipam"}}}};
  return json::serialize(
      json::object{{"cniVersion", "1.0.0"}, {"name", "margay"}, {"plugins", json::array{plugin}}});
}

std::string serving(const std::string& text) {
  // The first process of a container ends at SIGTERM only when it says so.
  return "mkdir -p /tmp/" + text + "; echo " + text + " > /tmp/" + text +
         "/index.html; trap \"exit 0\" TERM; httpd -f -p 80 -h /tmp/" + text + " & wait";
}

std::string asking(const std::string& host, unsigned port) {
  return fmt::format("printf \"GET / HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 {} {} 2>&1", host, port);
}

unsigned container_count(unsigned usual) {
  const char* wanted = std::getenv("MARGAY_CONTAINERS");
  return wanted == nullptr ? usual : static_cast<unsigned>(std::stoul(wanted));
}

}  // namespace margay::lab
