#include "felix/cni/cni_server.h"

#include "api/proto/cni.pb.h"
#include "cni/wire.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;

namespace {

CniRequest to_request(const cni::Request& message) {
  CniRequest request;
  request.verb = message.verb();
  request.container_id = message.container_id();
  request.netns = message.netns();
  request.ifname = message.ifname();
  request.args = {message.args().begin(), message.args().end()};
  request.config = message.config();
  request.plugin = message.plugin();
  request.delegated = message.delegated();
  return request;
}

}  // namespace

struct CniServer::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io_in, std::string path_in, Handler handler_in)
      : io(io_in), acceptor(io_in), path(std::move(path_in)), handler(std::move(handler_in)) {}

  struct Connection : std::enable_shared_from_this<Connection> {
    Connection(stream_protocol::socket socket_in, std::shared_ptr<State> state_in)
        : socket(std::move(socket_in)), idle(state_in->io), state(std::move(state_in)) {}
    // NOLINTNEXTLINE(bugprone-exception-escape): accepting allocates; without memory we end anyway
    ~Connection() { state->on_closed(); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start() {
      idle.expires_after(kIdle);
      idle.async_wait([self = shared_from_this()](error_code errc) {
        if (!errc) {
          self->close();
        }
      });
      asio::async_read(
          socket, asio::buffer(head), [self = shared_from_this()](error_code errc, std::size_t) {
            self->on_head(errc);
          });
    }
    void on_head(error_code errc) {
      const std::size_t size = cni::decode_length(head);
      if (errc || size > cni::kMaxMessage) {
        return close();
      }
      body.resize(size);
      asio::async_read(
          socket, asio::buffer(body), [self = shared_from_this()](error_code failed, std::size_t) {
            self->on_body(failed);
          });
    }
    void on_body(error_code errc) {
      idle.cancel();
      cni::Request message;
      if (errc || !message.ParseFromString(body)) {
        return close();
      }
      acknowledges = message.acknowledges();
      state->handler(to_request(message), [self = shared_from_this()](const CniResponse& response) {
        self->write(response);
      });
    }
    void write(const CniResponse& response) {
      on_taken = response.on_taken;
      cni::Response message;
      message.set_exit_code(response.exit_code);
      message.set_output(response.output);
      message.set_wants_addresses(response.wants_addresses);
      const std::string bytes = message.SerializeAsString();
      const auto length = cni::encode_length(bytes.size());
      body.assign(length.begin(), length.end());
      body += bytes;
      asio::async_write(
          socket, asio::buffer(body), [self = shared_from_this()](error_code failed, std::size_t) {
            self->on_written(!failed);
          });
    }
    // A plugin that acknowledges sends one byte when it has printed the answer; the end of the
    // connection instead is that of the plugin. One that is silent may have printed it.
    void on_written(bool written) {
      if (!written || !acknowledges || !on_taken) {
        return finish(written);
      }
      idle.expires_after(kIdle);
      idle.async_wait([self = shared_from_this()](error_code errc) {
        if (!errc) {
          self->finish(true);
        }
      });
      asio::async_read(
          socket,
          asio::buffer(head.data(), 1),
          [self = shared_from_this()](error_code failed, std::size_t) { self->finish(!failed); });
    }
    void finish(bool taken) {
      if (const auto told = std::exchange(on_taken, nullptr)) {
        told(taken);
      }
      close();
    }
    void close() {
      error_code ignored;
      idle.cancel();
      socket.close(ignored);
    }

    stream_protocol::socket socket;
    asio::steady_timer idle;
    std::shared_ptr<State> state;
    std::array<char, cni::kLengthBytes> head{};
    std::string body;
    bool acknowledges = false;
    std::function<void(bool)> on_taken;
  };

  void accept() {
    if (closed || accepting || connections >= kMaxConnections) {
      return;
    }
    accepting = true;
    acceptor.async_accept(
        [self = shared_from_this()](error_code errc, stream_protocol::socket socket) {
          self->on_accepted(errc, std::move(socket));
        });
  }
  void on_accepted(error_code errc, stream_protocol::socket socket) {
    accepting = false;
    if (closed) {
      return;
    }
    if (!errc) {
      ++connections;
      std::make_shared<Connection>(std::move(socket), shared_from_this())->start();
    }
    accept();
  }
  void on_closed() {
    --connections;
    accept();
  }

  asio::io_context& io;
  stream_protocol::acceptor acceptor;
  std::string path;
  Handler handler;
  unsigned connections = 0;
  bool accepting = false;
  bool closed = false;
};

CniServer::CniServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

CniServer::~CniServer() {
  state_->closed = true;
  error_code ignored;
  state_->acceptor.close(ignored);
  ::unlink(state_->path.c_str());
}

Result<std::unique_ptr<CniServer>> CniServer::open(asio::io_context& io,
                                                   const std::string& path,
                                                   Handler handler) {
  constexpr std::size_t kMaxPath = 107;  // sun_path with its end
  if (path.size() > kMaxPath) {
    return fail(Errc::kInvalid, "{}: longer than a socket's path may be ({})", path, kMaxPath);
  }
  auto state = std::make_shared<State>(io, path, std::move(handler));
  const stream_protocol::endpoint endpoint(path);
  error_code errc;
  stream_protocol::socket probe(io);
  probe.connect(endpoint, errc);
  if (!errc) {
    return fail(Errc::kExists, "listen on {}: another agent answers there", path);
  }
  if (errc.value() == ECONNREFUSED) {
    ::unlink(path.c_str());
  }
  state->acceptor.open(endpoint.protocol(), errc);
  if (errc) {
    return fail_errno(errc.value(), "socket for {}", path);
  }
  // The mode must be right from the first moment.
  constexpr mode_t kOthers = 0177;
  const mode_t before = ::umask(kOthers);
  state->acceptor.bind(endpoint, errc);
  ::umask(before);
  if (!errc) {
    state->acceptor.listen(asio::socket_base::max_listen_connections, errc);
  }
  if (errc) {
    return fail_errno(errc.value(), "listen on {}", path);
  }
  state->accept();
  return std::unique_ptr<CniServer>(new CniServer(std::move(state)));
}

}  // namespace margay::felix
