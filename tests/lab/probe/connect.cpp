#include "tests/lab/probe/commands.h"
#include "tests/lab/probe/net.h"
#include "tests/lab/probe/sctp.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace margay::probe {
namespace {

constexpr int kDefaultTimeoutMs = 2000;
constexpr int kUdpRetryMs = 200;  // the first datagram may be lost for reasons that are not policy
constexpr std::int64_t kNsPerMs = 1'000'000;

struct Options {
  std::vector<std::string_view> targets;
  int timeout_ms = kDefaultTimeoutMs;
  Protocol protocol = Protocol::kTcp;
  std::optional<Address> source;
};

struct Attempt {
  Address address;
  std::string_view target;
  int fd = -1;
  const char* outcome = nullptr;  // absent while it is open
  std::int64_t sent_ns = 0;
  std::uint16_t source_port = 0;  // SCTP
};

bool parse(Words words, Options& options) {
  for (const std::string_view word : words) {
    if (word.starts_with("--timeout=")) {
      const auto timeout = parse_duration_ms(word.substr(word.find('=') + 1));
      if (!timeout) {
        return false;
      }
      options.timeout_ms = *timeout;
    } else if (word.starts_with("--protocol=")) {
      const auto protocol = parse_protocol(word.substr(word.find('=') + 1));
      if (!protocol) {
        return false;
      }
      options.protocol = *protocol;
    } else if (word.starts_with("--source=")) {
      options.source = parse_source(word.substr(word.find('=') + 1));
      if (!options.source) {
        return false;
      }
    } else if (word.starts_with("--")) {
      return false;
    } else {
      options.targets.push_back(word);
    }
  }
  return !options.targets.empty();
}

const char* outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "refused";
    case ETIMEDOUT:
      return "timeout";
    default:
      return "other";
  }
}

void send_datagram(Attempt& attempt) {
  attempt.sent_ns = monotonic_ns();
  if (::send(attempt.fd, "probe", 5, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
    attempt.outcome = outcome_of(errno);
  }
}

void send_init(Attempt& attempt) {
  attempt.sent_ns = monotonic_ns();
  const auto packet = encode(
      {attempt.source_port, port_of(attempt.address), 0, SctpChunk::kInit, attempt.source_port});
  const Address to = without_port(attempt.address);
  if (::sendto(attempt.fd, packet.data(), packet.size(), MSG_NOSIGNAL, to.get(), to.length) < 0) {
    attempt.outcome = outcome_of(errno);
  }
}

// Raw sockets get the packets of all: only the answer to this attempt counts.
void on_sctp(Attempt& attempt) {
  std::array<std::uint8_t, 2048> buffer{};
  for (;;) {
    Address peer;
    peer.length = sizeof(peer.storage);
    const auto n =
        ::recvfrom(attempt.fd, buffer.data(), buffer.size(), 0, peer.get(), &peer.length);
    if (n < 0) {
      return;
    }
    const auto answer =
        decode({buffer.data(), static_cast<std::size_t>(n)}, attempt.address.family());
    if (answer && answer->chunk == SctpChunk::kInitAck && same_host(peer, attempt.address) &&
        answer->destination_port == attempt.source_port &&
        answer->source_port == port_of(attempt.address)) {
      attempt.outcome = "ok";
    }
  }
}

void begin_sctp(Attempt& attempt, const Options& options) {
  constexpr std::uint16_t kFirstPort = 20000;
  static std::uint16_t next_port = static_cast<std::uint16_t>(kFirstPort + ::getpid() % 20000);
  attempt.source_port = next_port++;
  attempt.fd = open_sctp(attempt.address.family());
  const auto& source = options.source;
  if (attempt.fd < 0 || (source && ::bind(attempt.fd, source->get(), source->length) != 0)) {
    attempt.outcome = "other";
    return;
  }
  send_init(attempt);
}

void begin(Attempt& attempt, const Options& options) {
  if (options.protocol == Protocol::kSctp) {
    return begin_sctp(attempt, options);
  }
  attempt.fd = open_socket(attempt.address.family(), options.protocol);
  const auto& source = options.source;
  if (attempt.fd < 0 || (source && ::bind(attempt.fd, source->get(), source->length) != 0)) {
    attempt.outcome = "other";
    return;
  }
  if (::connect(attempt.fd, attempt.address.get(), attempt.address.length) != 0 &&
      errno != EINPROGRESS) {
    attempt.outcome = outcome_of(errno);
    return;
  }
  if (options.protocol == Protocol::kUdp) {
    send_datagram(attempt);
  }
}

void on_event(Attempt& attempt, Protocol protocol) {
  if (protocol == Protocol::kSctp) {
    return on_sctp(attempt);
  }
  if (protocol == Protocol::kUdp) {
    char byte = 0;
    attempt.outcome = ::recv(attempt.fd, &byte, 1, 0) >= 0 ? "ok" : outcome_of(errno);
    return;
  }
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(attempt.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  attempt.outcome = error == 0 ? "ok" : outcome_of(error);
}

void poll_once(std::vector<Attempt>& attempts, Protocol protocol, std::int64_t deadline_ns) {
  std::vector<pollfd> fds;
  std::vector<Attempt*> open;
  for (Attempt& attempt : attempts) {
    if (attempt.outcome == nullptr) {
      const bool again = monotonic_ns() - attempt.sent_ns > kUdpRetryMs * kNsPerMs;
      if (again && protocol == Protocol::kUdp) {
        send_datagram(attempt);
      } else if (again && protocol == Protocol::kSctp) {
        send_init(attempt);
      }
      fds.push_back(
          pollfd{attempt.fd, static_cast<short>(protocol == Protocol::kTcp ? POLLOUT : POLLIN), 0});
      open.push_back(&attempt);
    }
  }
  const std::int64_t left_ms = (deadline_ns - monotonic_ns()) / kNsPerMs + 1;
  const int wait_ms = left_ms < kUdpRetryMs ? static_cast<int>(left_ms) : kUdpRetryMs;
  if (::poll(fds.data(), fds.size(), wait_ms) <= 0) {
    return;
  }
  for (std::size_t i = 0; i < fds.size(); ++i) {
    if (fds[i].revents != 0) {
      on_event(*open[i], protocol);
    }
  }
}

bool try_all(std::vector<Attempt>& attempts, const Options& options) {
  for (const std::string_view target : options.targets) {
    const auto address = parse_address(target);
    if (!address) {
      std::fprintf(
          stderr, "%.*s: expected ADDRESS:PORT\n", static_cast<int>(target.size()), target.data());
      return false;
    }
    Attempt attempt;
    attempt.address = *address;
    attempt.target = target;
    begin(attempt, options);
    attempts.push_back(attempt);
  }
  const std::int64_t deadline_ns = monotonic_ns() + options.timeout_ms * kNsPerMs;
  const auto is_open = [](const Attempt& attempt) { return attempt.outcome == nullptr; };
  while (std::any_of(attempts.begin(), attempts.end(), is_open) && monotonic_ns() < deadline_ns) {
    poll_once(attempts, options.protocol, deadline_ns);
  }
  for (Attempt& attempt : attempts) {
    if (attempt.outcome == nullptr) {
      attempt.outcome = "timeout";
    }
    if (attempt.fd >= 0) {
      ::close(attempt.fd);
    }
  }
  return true;
}

}  // namespace

int connect_one(Words words) {
  Options options;
  std::vector<Attempt> attempts;
  if (!parse(words, options) || options.targets.size() != 1 || !try_all(attempts, options)) {
    return kUsage;
  }
  const std::string_view outcome = attempts.front().outcome;
  if (outcome == "ok") {
    return kDone;
  }
  std::fputs(outcome == "timeout"   ? "TIMEOUT\n"
             : outcome == "refused" ? "REFUSED\n"
                                    : "OTHER\n",
             stderr);
  return kFailed;
}

int reach_many(Words words) {
  Options options;
  std::vector<Attempt> attempts;
  if (!parse(words, options) || !try_all(attempts, options)) {
    return kUsage;
  }
  for (const Attempt& attempt : attempts) {
    std::printf("%.*s %s\n",
                static_cast<int>(attempt.target.size()),
                attempt.target.data(),
                attempt.outcome);
  }
  return kDone;
}

}  // namespace margay::probe
