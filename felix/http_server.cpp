#include "felix/http_server.h"

#include "base/socket_addr.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

namespace {

constexpr unsigned kMaxConnections = 64;
constexpr std::size_t kMaxRequestBytes = 8192;
constexpr std::chrono::seconds kIdleTimeout{30};

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io, Answer answer_in) : acceptor(io), answer(std::move(answer_in)) {}

  struct Connection : std::enable_shared_from_this<Connection> {
    Connection(tcp::socket socket, std::shared_ptr<State> state_in)
        : stream(std::move(socket)), state(std::move(state_in)) {}
    ~Connection() { state->on_closed(); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // NOLINTBEGIN(misc-no-recursion): each call has returned before its completion makes the next
    void read() {
      parser.emplace();
      parser->header_limit(static_cast<std::uint32_t>(kMaxRequestBytes));
      parser->body_limit(kMaxRequestBytes);
      stream.expires_after(kIdleTimeout);
      http::async_read(stream,
                       buffer,
                       *parser,
                       [self = shared_from_this()](beast::error_code errc, std::size_t) {
                         if (!errc) {
                           self->write();
                         }
                       });
    }
    void write() {
      const auto& request = parser->get();
      HttpReply reply;
      if (request.method() == http::verb::get || request.method() == http::verb::head) {
        reply = state->answer(std::string_view(request.target().data(), request.target().size()));
      } else {
        reply = {405, "text/plain; charset=utf-8", "only GET is served\n"};
      }
      response = {};
      response.version(request.version());
      response.result(reply.status);
      response.set(http::field::content_type, reply.content_type);
      response.keep_alive(request.keep_alive());
      response.body() =
          request.method() == http::verb::head ? std::string() : std::move(reply.body);
      response.prepare_payload();
      http::async_write(
          stream, response, [self = shared_from_this()](beast::error_code errc, std::size_t) {
            if (!errc && self->response.keep_alive()) {
              self->read();
            }
          });
    }
    // NOLINTEND(misc-no-recursion)

    beast::tcp_stream stream;
    std::shared_ptr<State> state;
    beast::flat_buffer buffer{kMaxRequestBytes};
    std::optional<http::request_parser<http::string_body>> parser;
    http::response<http::string_body> response;
  };

  void accept() {
    if (closed || connections >= kMaxConnections || accepting) {
      return;
    }
    accepting = true;
    acceptor.async_accept([self = shared_from_this()](beast::error_code errc, tcp::socket socket) {
      self->on_accepted(errc, std::move(socket));
    });
  }
  void on_accepted(beast::error_code errc, tcp::socket socket) {
    accepting = false;
    if (closed) {
      return;
    }
    if (!errc) {
      ++connections;
      std::make_shared<Connection>(std::move(socket), shared_from_this())->read();
    }
    accept();
  }
  void on_closed() {
    --connections;
    accept();
  }

  tcp::acceptor acceptor;
  Answer answer;
  unsigned connections = 0;
  bool accepting = false;
  bool closed = false;
};

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
  state_->closed = true;
  beast::error_code ignored;
  state_->acceptor.close(ignored);
}

Result<std::unique_ptr<HttpServer>> HttpServer::open(asio::io_context& io,
                                                     const std::string& listen,
                                                     Answer answer) {
  const auto parsed = SocketAddr::parse(listen);
  if (!parsed) {
    return fail(parsed.error(), "listen on");
  }
  const tcp::endpoint endpoint(asio::ip::make_address(parsed->addr.str()), parsed->port);
  auto state = std::make_shared<State>(io, std::move(answer));
  beast::error_code errc;
  state->acceptor.open(endpoint.protocol(), errc);
  if (!errc) {
    state->acceptor.set_option(tcp::acceptor::reuse_address(true), errc);
  }
  if (!errc) {
    state->acceptor.bind(endpoint, errc);
  }
  if (!errc) {
    state->acceptor.listen(asio::socket_base::max_listen_connections, errc);
  }
  if (errc) {
    return fail_errno(errc.value(), "listen on {}", listen);
  }
  state->accept();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

}  // namespace margay::felix
