#include "tests/lab/process.h"

#include <doctest/doctest.h>

#include <csignal>
#include <unistd.h>

namespace margay::lab {
namespace {

Command shell(const std::string& script) {
  Command command;
  command.argv = {"sh", "-c", script};
  command.env = {{"PATH", "/usr/bin:/bin"}};
  return command;
}

}  // namespace

TEST_SUITE("lab.process") {
  TEST_CASE("a command's exit code and both outputs come back") {
    const auto done = run(shell("echo out; echo err >&2; exit 3"));
    REQUIRE(done);
    CHECK(done->rc == 3);
    CHECK(done->out == "out\n");
    CHECK(done->err == "err\n");
  }

  TEST_CASE("standard input larger than a pipe arrives whole") {
    Command command = shell("wc -c");
    command.input.assign(300'000, 'x');
    const auto done = run(command);
    REQUIRE(done);
    CHECK(done->out == "300000\n");
  }

  TEST_CASE("a command that does not end is killed when its time is up, with its children") {
    Command command = shell("sleep 1000 & wait");
    command.timeout = std::chrono::milliseconds(100);
    const auto done = run(command);
    REQUIRE(done);
    CHECK(done->rc == 124);
  }

  TEST_CASE("a program that does not exist is an error that names it") {
    Command command;
    command.argv = {"no-such-program"};
    const auto done = run(command);
    REQUIRE(!done);
    CHECK(done.error().text == "run no-such-program: No such file or directory");
  }

  TEST_CASE("a process is known by its start time, so that a reused pid is never signalled") {
    auto process = launch(shell("sleep 1000"));
    REQUIRE(process);
    CHECK(alive(*process));
    const ProcessId other{process->pid, process->start_time + 1};
    CHECK(!alive(other));
    CHECK(!send_signal(other, SIGKILL));
    CHECK(alive(*process));
    CHECK(send_signal(*process, SIGKILL));
    CHECK(wait_gone(*process, std::chrono::seconds(5)));
  }
}

}  // namespace margay::lab
