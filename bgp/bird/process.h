#pragma once
// The BIRD that margayd starts: its files, its life.
//
// It is started in a session of its own and goes on when margayd ends or dies, so that neither
// sessions nor routes depend on the agent. Ours is a process that was started with the files named
// here, and nothing else is ever signalled or configured. Calls block for a moment.

#include "base/result.h"

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

namespace margay::bgp::bird {

struct Files {
  std::string config;  // BIRD was started with it
  std::string wanted;  // the next one, until BIRD has taken it
  std::string socket;
  std::string pid;
  std::string log;
  std::string output;  // what BIRD prints while it starts

  static Files in(const std::string& run_dir);
};

// "2.0.12"; an error says what is missing and what to do.
[[nodiscard]] Result<std::string> find_bird();

// `bird -p`: whether BIRD would take the file; the error is BIRD's own words.
[[nodiscard]] Result<void> check_config(const std::string& path);

// Starts BIRD on files.config. `restarted`: as after a crash, the kernel having gone on (RFC 4724).
[[nodiscard]] Result<pid_t> start_bird(const Files& files, bool restarted);

// Whether the process was started by start_bird on these files, in this network namespace.
[[nodiscard]] bool is_ours(pid_t pid, const Files& files);

// The process of ours that runs; also one that is about to write its pid file.
[[nodiscard]] std::optional<pid_t> running_bird(const Files& files);

// What it printed last, in one line.
[[nodiscard]] std::string last_words(const Files& files);

// Ends a BIRD of ours, if there is one, and waits for it. `leave_routes`: its peers are to keep our
// routes (RFC 4724), as another speaker takes over; else they are told that we go.
[[nodiscard]] Result<void> end_bird(const Files& files, bool leave_routes);

}  // namespace margay::bgp::bird
