#pragma once
// Connection: one TCP connection of a BGP session, reading and writing without ever blocking.
//
// Reads: when data is there it is read into one buffer that all connections of the loop share, so
// that idle sessions cost nothing, and handed on; at most one buffer per turn of the loop, so that
// one peer cannot starve another. Writes: a queue of shared buffers, written many at a time. After
// close() no handler is called again. Single-threaded: lives on the loop of its io_context.

#include "base/ip_addr.h"
#include "base/strong.h"
#include "bgp/wire/types.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::bgp {

using SharedBytes = std::shared_ptr<const std::vector<std::uint8_t>>;

class Connection {
 public:
  struct Handlers {
    std::function<void(Bytes)> on_bytes;
    std::function<void(std::string reason)> on_closed;  // by the peer, or by an error
    std::function<void()> on_drained;                   // the queue became empty
    std::function<void()> on_progress = nullptr;        // the system took some of it
  };
  virtual ~Connection() = default;

  // Starts reading. Handlers are called from the loop, never from within this call.
  virtual void start(Handlers handlers) = 0;
  virtual void send(SharedBytes bytes) = 0;
  // As send, but written with what comes after it, or by flush: many small pieces in few calls.
  virtual void queue(SharedBytes bytes) = 0;
  virtual void flush() = 0;
  // Bytes that the system has not taken yet.
  [[nodiscard]] virtual std::size_t queued() const = 0;
  // Writes what is queued (a NOTIFICATION) for at most two seconds, then closes.
  virtual void close() = 0;
  [[nodiscard]] virtual IpAddr local_address() const = 0;
  [[nodiscard]] virtual IpAddr remote_address() const = 0;
  [[nodiscard]] virtual std::uint16_t local_port() const = 0;
  [[nodiscard]] virtual std::uint16_t remote_port() const = 0;
  // The interface of link-local addresses; 0: they are none.
  [[nodiscard]] virtual IfIndex link() const = 0;
  // The interface that an accepted connection was opened over; 0: not known.
  [[nodiscard]] virtual IfIndex arrival() = 0;
};

}  // namespace margay::bgp
