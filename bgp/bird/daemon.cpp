#include "bgp/bird/daemon.h"

#include "base/durable_file.h"

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <thread>
#include <utility>

namespace margay::bgp::bird {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstPause{200};
constexpr milliseconds kLongestPause{30000};
constexpr seconds kStartLimit{10};  // for the control socket to be there
constexpr seconds kSteady{10};      // BIRD that ran so long is started again without a pause
constexpr seconds kRefusedRetry{5};
constexpr unsigned kDigestTries = 50;  // while BIRD reconfigures
constexpr milliseconds kDigestPause{20};
// Codes of BIRD (doc/reply_codes).
constexpr unsigned kReconfigured = 3;
constexpr unsigned kReconfiguring = 4;
constexpr unsigned kQueued = 5;
constexpr unsigned kShuttingDown = 6;

Result<void> move_file(const std::string& from, const std::string& to) {
  std::error_code errc;
  std::filesystem::rename(from, to, errc);
  return errc ? Result<void>(fail_errno(errc.value(), "rename {} to {}", from, to))
              : Result<void>();
}

}  // namespace

Result<void> Daemon::ensure(const Rendered& wanted, TimePoint now) {
  if (!control_) {
    if (auto connected = connect(now); !connected) {
      const Errc code = connected.error().code;
      if (code == Errc::kConflict) {
        return connected;
      }
      auto started = start(wanted, now);
      return started && code == Errc::kTimeout ? connected : started;
    }
  }
  return apply(wanted, now);
}

Result<void> Daemon::connect(TimePoint now) {
  auto opened = Control::open(files_.socket);
  if (!opened) {
    return fail(opened.error());
  }
  if (!is_ours((*opened)->listener(), files_)) {
    return fail(Errc::kConflict,
                "{} belongs to process {}, which margayd did not start: it is left alone, and BGP "
                "is down until it is gone",
                files_.socket,
                (*opened)->listener());
  }
  control_ = std::move(*opened);
  starting_ = false;
  if (starts_ == 0) {
    started_ = now;
  }
  auto known = digest();
  in_force_ = known ? *known : std::string();
  return {};
}

Result<void> Daemon::start(const Rendered& wanted, TimePoint now) {
  if (child_ != 0 && ::waitpid(child_, nullptr, WNOHANG) == child_) {
    child_ = 0;
    if (std::exchange(starting_, false)) {
      return fail(Errc::kUnavailable, "BIRD does not start: {}", last_words(files_));
    }
  }
  if (running_bird(files_) || (child_ != 0 && starting_)) {
    return wait_for_start(now);
  }
  if (now < next_start_) {
    return fail(Errc::kUnavailable, "BIRD ended and is about to be started again");
  }
  const bool first = starts_ == 0;
  pause_ = first || now - started_ > kSteady ? kFirstPause : std::min(pause_ * 2, kLongestPause);
  next_start_ = now + pause_;
  // There was one of ours before, and the kernel went on without it.
  const bool restarted = std::filesystem::exists(files_.config);
  auto written = write_checked(wanted);
  if (written) {
    if (auto moved = move_file(files_.wanted, files_.config); !moved) {
      return moved;
    }
  } else if (!restarted) {
    return written;  // there is none from before to start on
  }
  auto started = start_bird(files_, restarted);
  if (!started) {
    return fail(started.error());
  }
  child_ = *started;
  started_ = now;
  starting_ = true;
  ++starts_;
  return written;
}

// Also for one that runs and does not answer.
Result<void> Daemon::wait_for_start(TimePoint now) {
  if (!std::exchange(starting_, true)) {
    started_ = now;
  }
  if (now - started_ < kStartLimit) {
    return {};
  }
  starting_ = false;
  if (const auto pid = running_bird(files_)) {
    ::kill(*pid, SIGKILL);
  }
  return fail(Errc::kTimeout,
              "BIRD did not answer on {} within {} s and was ended",
              files_.socket,
              kStartLimit.count());
}

Result<void> Daemon::write_checked(const Rendered& wanted) const {
  if (auto written = replace_file(files_.wanted, wanted.text); !written) {
    return fail(written.error());
  }
  if (auto taken = check_config(files_.wanted); !taken) {
    return fail(taken.error(), "BIRD refuses the configuration, the one before stays in force");
  }
  return {};
}

Result<void> Daemon::apply(const Rendered& wanted, TimePoint now) {
  if (wanted.digest == in_force_) {
    return {};
  }
  if (wanted.digest == refused_ && now - refused_at_ < kRefusedRetry) {
    return fail(Errc::kInvalid, "{}", refusal_);
  }
  auto done = write_checked(wanted);
  if (done) {
    done = load(files_.wanted);
  }
  if (done && in_force_ != wanted.digest) {
    done = fail(Errc::kInternal, "BIRD took a configuration, but not the one it was given");
  }
  if (!done) {
    refused_ = wanted.digest;
    refusal_ = done.error().text;
    refused_at_ = now;
    return done;
  }
  refused_.clear();
  return move_file(files_.wanted, files_.config);
}

Result<void> Daemon::load(const std::string& path) {
  const auto answer = ask("configure \"" + path + "\"");
  if (!answer) {
    return fail(answer.error());
  }
  if (answer->failed()) {
    return fail(Errc::kInvalid,
                "BIRD refuses the configuration, the one before stays in force: {}",
                answer->failure());
  }
  const unsigned code = answer->code();
  if (code == kShuttingDown) {
    return fail(Errc::kUnavailable, "BIRD is shutting down");
  }
  if (code != kReconfigured && code != kReconfiguring && code != kQueued) {
    return fail(Errc::kInternal, "BIRD answers {} to a new configuration", code);
  }
  // What is queued comes when sessions that end have ended.
  const std::string before = in_force_;
  for (unsigned i = 0; i < kDigestTries; ++i) {
    auto now_in_force = digest();
    if (!now_in_force) {
      return fail(now_in_force.error());
    }
    in_force_ = *now_in_force;
    if (code != kQueued || in_force_ != before) {
      return {};
    }
    std::this_thread::sleep_for(kDigestPause);
  }
  return fail(Errc::kTimeout, "BIRD is still busy with the configuration before");
}

Result<void> Daemon::reload() {
  return load(files_.config);
}

Result<std::string> Daemon::digest() {
  const auto answer = ask(fmt::format("eval {}", kDigestName));
  if (!answer) {
    return fail(answer.error());
  }
  return answer->failed() || answer->lines.empty() ? std::string() : answer->lines.back().text;
}

Result<Reply> Daemon::ask(std::string_view command) {
  if (!control_) {
    return fail(Errc::kUnavailable, "BIRD does not run");
  }
  auto answer = control_->ask(command);
  if (!answer) {
    control_.reset();
  }
  return answer;
}

}  // namespace margay::bgp::bird
