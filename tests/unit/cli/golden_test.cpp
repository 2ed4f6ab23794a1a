// Every folder of tests/golden/cli is a session: `commands` holds a command line per row, run one
// after the other over one store in memory; `expected` is what a terminal would show. With
// MARGAY_UPDATE_GOLDEN=1 the expectations are rewritten.

#include "cli/commands.h"
#include "cli/context.h"
#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

// Words of a command line; double quotes keep a word together.
std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> out;
  bool quoted = false;
  bool open = false;
  for (const char character : line) {
    if (character == '"') {
      quoted = !quoted;
    } else if (character == ' ' && !quoted) {
      open = false;
      continue;
    }
    if (!open) {
      out.emplace_back();
      open = true;
    }
    if (character != '"') {
      out.back() += character;
    }
  }
  return out;
}

// What differs from run to run: identifiers, times, ages.
std::string steady(std::string text) {
  text = std::regex_replace(text, std::regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID");
  text = std::regex_replace(text, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"), "TIME");
  return std::regex_replace(text, std::regex(R"( (\d+[smhd])+\n)"), " AGE\n");
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string run_session(const fs::path& folder) {
  std::istringstream in;
  std::ostringstream transcript;
  auto store = std::make_unique<margay::test::MemoryStore>();
  std::ifstream commands(folder / "commands");
  std::ostringstream out;
  std::ostringstream err;
  margay::cli::Context context(in, out, err);
  context.set_store(std::move(store));
  for (std::string line; std::getline(commands, line);) {
    out.str("");
    err.str("");
    const int code = margay::cli::run(context, words(line));
    transcript << "$ margayctl " << line << '\n' << out.str();
    std::istringstream errors(err.str());
    for (std::string error; std::getline(errors, error);) {
      transcript << "! " << error << '\n';
    }
    transcript << "exit " << code << "\n\n";
  }
  return steady(transcript.str());
}

}  // namespace

TEST_SUITE("cli.golden") {
  TEST_CASE("sessions print what they printed before") {
    const fs::path root = fs::path(MARGAY_SOURCE_DIR) / "tests/golden/cli";
    const fs::path home = fs::current_path();
    std::vector<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(root)) {
      folders.push_back(entry.path());
    }
    std::ranges::sort(folders);
    REQUIRE(folders.size() >= 4);
    for (const fs::path& folder : folders) {
      CAPTURE(folder.string());
      fs::current_path(folder);
      const std::string text = run_session(folder);
      fs::current_path(home);
      if (std::getenv("MARGAY_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(folder / "expected", std::ios::binary) << text;
      }
      CHECK(text == read(folder / "expected"));
    }
  }

  TEST_CASE("what docs/ipam.md shows is what the commands print") {
    const fs::path root(MARGAY_SOURCE_DIR);
    const std::string session = read(root / "tests/golden/cli/ipam-docs/expected");
    std::istringstream page(read(root / "docs/ipam.md"));
    std::string shown;  // a command and its output
    unsigned commands = 0;
    bool console = false;
    const auto compare = [&] {
      CAPTURE(shown);
      CHECK((shown.empty() || session.find(shown) != std::string::npos));
      commands += shown.empty() ? 0U : 1U;
      shown.clear();
    };
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("```")) {
        compare();
        console = line == "```console";
      } else if (console) {
        if (line.starts_with("$ ")) {
          compare();
        }
        shown += line + "\n";
      }
    }
    CHECK(commands >= 8);
  }

  TEST_CASE("tables fit a terminal of 100 columns") {
    for (const auto& entry :
         fs::directory_iterator(fs::path(MARGAY_SOURCE_DIR) / "tests/golden/cli")) {
      std::ifstream expected(entry.path() / "expected");
      bool table = false;
      for (std::string line; std::getline(expected, line);) {
        if (line.rfind("$ ", 0) == 0) {
          table = line.find(" get ") != std::string::npos && line.find(" -o ") == std::string::npos;
        } else if (table && line.rfind("! ", 0) != 0) {
          CAPTURE(line);
          CHECK(line.size() <= 100);
        }
      }
    }
  }
}
