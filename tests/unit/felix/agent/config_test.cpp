#include "felix/config.h"

#include "felix/log.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace margay::felix {
namespace {

// A file of its own, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("margayd-config-" + std::to_string(::getpid()) + ".yaml")) {
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST_SUITE("felix.config") {
  TEST_CASE(
      "a flag wins over the environment, the environment over the file, the file over the "
      "default") {
    const ConfigValues file{{"run_dir", "/file"}, {"state_dir", "/file"}, {"log_level", "debug"}};
    const ConfigValues environment{{"run_dir", "/environment"}, {"state_dir", "/environment"}};
    const ConfigValues flags{{"run_dir", "/flag"}};

    const auto config = make_config(file, environment, flags, "Host-1");

    REQUIRE(config);
    CHECK(config->run_dir == "/flag");
    CHECK(config->state_dir == "/environment");
    CHECK(config->log_level == "debug");
    CHECK(config->log_level_given);
    CHECK_FALSE(make_config({}, {}, {}, "host")->log_level_given);
    CHECK(config->metrics_listen == "127.0.0.1:9091");
  }

  TEST_CASE("the node name defaults to the host name in lower case") {
    CHECK(make_config({}, {}, {}, "Host-1")->node.str() == "host-1");
    CHECK_FALSE(make_config({}, {}, {}, "bad_host"));
    CHECK(make_config({}, {}, {{"node", "n1"}}, "bad_host")->node.str() == "n1");
  }

  TEST_CASE("a bad value is refused with the field, the value and what would be right") {
    struct Row {
      const char* field;
      const char* value;
      const char* error;
    };
    for (const Row& row : {
             Row{"log_level",
                 "loud",
                 "log_level: \"loud\": expected error, warn, info, debug or trace"},
             Row{"log_format", "xml", "log_format: \"xml\": expected text or json"},
             Row{"run_dir", "relative", "run_dir: \"relative\": expected an absolute path"},
             Row{"bgp", "gated", "bgp: \"gated\": expected embedded, bird or none"},
             Row{"metrics_listen",
                 "9091",
                 "metrics_listen: \"9091\": expected ADDRESS:PORT, or empty for off"},
             Row{"metrics_listen",
                 "127.0.0.1:port",
                 "metrics_listen: \"127.0.0.1:port\": expected ADDRESS:PORT, or empty for off"},
             Row{"metrics_listen",
                 "here:9091",
                 "metrics_listen: \"here:9091\": expected ADDRESS:PORT, or empty for off"},
             Row{"metrics_listen",
                 "::1:9091",
                 "metrics_listen: \"::1:9091\": expected ADDRESS:PORT, or empty for off"},
             Row{"datastore",
                 "etcd://127.0.0.1",
                 "datastore \"etcd://127.0.0.1\": this build has the sqlite datastore only"},
             Row{"datastore",
                 "sqlite:margay.db",
                 "datastore \"sqlite:margay.db\": expected sqlite:///PATH"},
         }) {
      CAPTURE(row.field);
      const auto config = make_config({{row.field, row.value}}, {}, {}, "host");
      REQUIRE_FALSE(config);
      CHECK(config.error().text == row.error);
    }
  }

  TEST_CASE("the file's errors name file, line and field") {
    struct Row {
      const char* text;
      const char* error;
      const char* why;
    };
    for (const Row& row : {
             Row{"node: n1\nrundir: /x\n", ": line 2: rundir: unknown field", "unknown field"},
             Row{"node: n1\nnode: n2\n", ": line 2: node: given twice", "a field twice"},
             Row{"node: [a]\n",
                 ": line 1: node: expected a single value",
                 "list where a value belongs"},
             Row{"node: n1\nmetrics_listen: foo:bar\n",
                 ": line 2: metrics_listen: \"foo:bar\": expected ADDRESS:PORT, or empty for off",
                 "bad value"},
             Row{"node: n1\n---\nnode: n2\n",
                 ": line 3: a second document: expected one",
                 "two documents"},
             Row{"[a]: b\n", ": line 1: expected the name of a field", "a list as name"},
             Row{"- node\n", ": line 1: expected a mapping of fields", "no mapping"},
         }) {
      CAPTURE(row.why);
      const TemporaryFile file(row.text);
      const auto values = read_config_file(file.path());
      REQUIRE_FALSE(values);
      CHECK(values.error().text == file.path() + row.error);
    }
  }

  TEST_CASE("a file that cannot be read is an error that says why") {
    CHECK(read_config_file("/").error().text == "/: cannot be read: Is a directory");
    CHECK(read_config_file("/there/is/none").error().text ==
          "/there/is/none: cannot be read: No such file or directory");
  }

  TEST_CASE("Calico's words for log levels are ours") {
    CHECK(log_level_of("Warning") == "warn");
    CHECK(log_level_of("FATAL") == "error");
    CHECK(log_level_of("debug") == "debug");
    CHECK(log_level_of("").empty());
  }

  TEST_CASE("an empty value in the file switches metrics off") {
    const TemporaryFile file("metrics_listen:\nlog_format: json\n");
    const auto values = read_config_file(file.path());
    REQUIRE(values);
    const auto config = make_config(*values, {}, {}, "host");
    REQUIRE(config);
    CHECK(config->metrics_listen.empty());
    CHECK(config->log_format == LogFormat::kJson);
  }
}

}  // namespace
}  // namespace margay::felix
