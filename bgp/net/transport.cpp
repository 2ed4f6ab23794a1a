#include "bgp/net/transport.h"

#include "bgp/net/socket_options.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <utility>

namespace margay::bgp {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kReadBytes = 65536;  // per turn and connection
constexpr std::size_t kMaxSegments = 64;   // buffers in one system call
constexpr std::chrono::seconds kLingerTime{2};

asio::ip::address to_asio(const IpAddr& addr, IfIndex link = {}) {
  const auto bytes = addr.bytes();
  if (addr.is_v4()) {
    asio::ip::address_v4::bytes_type raw{};
    std::ranges::copy(bytes, raw.begin());
    return asio::ip::address_v4(raw);
  }
  asio::ip::address_v6::bytes_type raw{};
  std::ranges::copy(bytes, raw.begin());
  return asio::ip::address_v6(raw, link.value());
}

IpAddr from_asio(const asio::ip::address& addr) {
  if (addr.is_v4()) {
    return IpAddr::v4(addr.to_v4().to_uint());
  }
  return IpAddr::v6(addr.to_v6().to_bytes());
}

IfIndex link_of(const asio::ip::address& addr) {
  return addr.is_v6() ? IfIndex(static_cast<std::uint32_t>(addr.to_v6().scope_id())) : IfIndex();
}

Error to_error(const error_code& code, std::string_view what) {
  return fail_errno(code.value(), "{}", what).error;
}

using ReadBuffer = std::array<std::uint8_t, kReadBytes>;

class TcpConnection final : public Connection, public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(tcp::socket socket, std::shared_ptr<ReadBuffer> buffer)
      : socket_(std::move(socket)), linger_(socket_.get_executor()), buffer_(std::move(buffer)) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
    socket_.set_option(tcp::no_delay(true), ignored);
    const tcp::endpoint local = socket_.local_endpoint(ignored);
    local_ = from_asio(local.address());
    local_port_ = local.port();
    const tcp::endpoint remote = socket_.remote_endpoint(ignored);
    remote_ = from_asio(remote.address());
    link_ = link_of(remote.address());
    remote_port_ = remote.port();
  }

  void start(Handlers handlers) override {
    handlers_ = std::move(handlers);
    wait_for_data();
  }
  void send(SharedBytes bytes) override {
    queue(std::move(bytes));
    flush();
  }
  void queue(SharedBytes bytes) override {
    if (closed_ || bytes->empty()) {
      return;
    }
    queued_ += bytes->size();
    queue_.push_back(std::move(bytes));
  }
  void flush() override {
    if (!closed_ && !writing_) {
      write_now();
    }
  }
  [[nodiscard]] std::size_t queued() const override { return queued_; }
  void close() override {
    if (closed_) {
      return;
    }
    closed_ = true;
    handlers_ = {};
    if (!writing_) {
      shut();
      return;
    }
    linger_.expires_after(kLingerTime);
    linger_.async_wait([self = shared_from_this()](const error_code&) { self->shut(); });
  }
  [[nodiscard]] IpAddr local_address() const override { return local_; }
  [[nodiscard]] IpAddr remote_address() const override { return remote_; }
  [[nodiscard]] std::uint16_t local_port() const override { return local_port_; }
  [[nodiscard]] std::uint16_t remote_port() const override { return remote_port_; }
  [[nodiscard]] IfIndex link() const override { return link_; }
  [[nodiscard]] IfIndex arrival() override {
    const auto found = arrival_link(socket_.native_handle(), remote_.family());
    return found ? *found : IfIndex();
  }
  int descriptor() { return socket_.native_handle(); }

 private:
  void wait_for_data() {
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& code) {
      self->on_readable(code);
    });
  }
  void on_readable(const error_code& waited) {
    if (closed_) {
      return;
    }
    error_code code = waited;
    std::size_t got = 0;
    if (!code) {
      got = socket_.read_some(asio::buffer(*buffer_), code);
    }
    if (code == asio::error::would_block) {
      wait_for_data();
      return;
    }
    if (code) {
      lost(code);
      return;
    }
    // The handler may close this connection, even drop the last other reference to it.
    const auto on_bytes = handlers_.on_bytes;
    on_bytes(Bytes(buffer_->data(), got));
    if (!closed_) {
      wait_for_data();
    }
  }

  // Writes at once what the system takes; the rest when it can.
  void write_now() {
    while (!queue_.empty()) {
      std::vector<asio::const_buffer> pieces;
      for (std::size_t i = 0; i < std::min(queue_.size(), kMaxSegments); ++i) {
        pieces.emplace_back(queue_[i]->data(), queue_[i]->size());
      }
      pieces.front() += written_;
      error_code code;
      const std::size_t done = socket_.write_some(pieces, code);
      if (code && code != asio::error::would_block) {
        // The reader reports it: what the peer said last must be read first.
        queue_.clear();
        queued_ = 0;
        return;
      }
      consume(done);
      if (code == asio::error::would_block) {
        wait_for_room();
        return;
      }
    }
  }
  void wait_for_room() {
    writing_ = true;
    socket_.async_wait(
        tcp::socket::wait_write,
        [self = shared_from_this()](const error_code& code) { self->on_writable(code); });
  }
  void on_writable(const error_code& code) {
    writing_ = false;
    const std::size_t before = queued_;
    if (!code && socket_.is_open()) {
      write_now();
    }
    if (writing_) {
      if (const auto on_progress = handlers_.on_progress; on_progress && queued_ < before) {
        on_progress();
      }
      return;
    }
    if (closed_) {
      shut();
    } else if (const auto on_drained = handlers_.on_drained) {
      on_drained();
    }
  }
  void consume(std::size_t done) {
    queued_ -= done;
    written_ += done;
    while (!queue_.empty() && written_ >= queue_.front()->size()) {
      written_ -= queue_.front()->size();
      queue_.pop_front();
    }
  }

  void lost(const error_code& code) {
    const auto on_closed = handlers_.on_closed;
    closed_ = true;
    handlers_ = {};
    shut();
    on_closed(code == asio::error::eof ? "connection closed by the peer" : code.message());
  }
  void shut() {
    error_code ignored;
    linger_.cancel();
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
    queue_.clear();
    queued_ = 0;
  }

  tcp::socket socket_;
  asio::steady_timer linger_;
  std::shared_ptr<ReadBuffer> buffer_;
  Handlers handlers_;
  std::deque<SharedBytes> queue_;
  std::size_t queued_ = 0;
  std::size_t written_ = 0;  // of the first buffer of the queue
  bool writing_ = false;     // waits for room
  bool closed_ = false;
  IpAddr local_;
  IpAddr remote_;
  std::uint16_t local_port_ = 0;
  std::uint16_t remote_port_ = 0;
  IfIndex link_;
};

Result<void> apply_options(int fd, Family family, const SocketOptions& options) {
  if (options.ttl_security_hops != 0) {
    return set_ttl_security(fd, family, options.ttl_security_hops);
  }
  return options.ttl != 0 ? set_ttl(fd, family, options.ttl) : Result<void>();
}

class TcpConnecting final : public Connecting, public std::enable_shared_from_this<TcpConnecting> {
 public:
  TcpConnecting(asio::io_context& loop,
                std::shared_ptr<ReadBuffer> buffer,
                Transport::OnConnect on_connect)
      : socket_(loop), buffer_(std::move(buffer)), on_connect_(std::move(on_connect)) {}

  void start(const ConnectRequest& request) {
    if (auto opened = open(request); !opened) {
      // Reported from the loop, never from within the caller's call.
      asio::post(socket_.get_executor(), [self = shared_from_this(), error = opened.error()] {
        self->finish(fail(error));
      });
      return;
    }
    socket_.async_connect({to_asio(request.address, request.link), request.port},
                          [self = shared_from_this(), what = request.address.str()](
                              const error_code& code) { self->on_connected(code, what); });
  }
  void cancel() {
    on_connect_ = nullptr;
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  Result<void> open(const ConnectRequest& request) {
    const Family family = request.address.family();
    error_code code;
    socket_.open(family == Family::kIpv4 ? tcp::v4() : tcp::v6(), code);
    if (code) {
      return fail(to_error(code, "open a socket"));
    }
    if (auto applied = apply_options(socket_.native_handle(), family, request.options); !applied) {
      return applied;
    }
    if (!request.options.password.empty()) {
      if (auto keyed = set_md5_key(
              socket_.native_handle(), Prefix::host(request.address), request.options.password);
          !keyed) {
        return keyed;
      }
    }
    if (request.local_address) {
      socket_.bind({to_asio(*request.local_address, request.link), 0}, code);
      if (code) {
        return fail(to_error(code, fmt::format("bind to {}", request.local_address->str())));
      }
    }
    return {};
  }
  void on_connected(const error_code& code, const std::string& what) {
    if (code) {
      finish(fail(to_error(code, fmt::format("connect to {}", what))));
      return;
    }
    finish(
        std::shared_ptr<Connection>(std::make_shared<TcpConnection>(std::move(socket_), buffer_)));
  }
  void finish(Result<std::shared_ptr<Connection>> outcome) {
    if (const auto on_connect = std::exchange(on_connect_, nullptr)) {
      on_connect(std::move(outcome));
    }
  }

  tcp::socket socket_;
  std::shared_ptr<ReadBuffer> buffer_;
  Transport::OnConnect on_connect_;
};

// The handle that a caller holds.
class ConnectHandle final : public Connecting {
 public:
  explicit ConnectHandle(std::shared_ptr<TcpConnecting> attempt) : attempt_(std::move(attempt)) {}
  ConnectHandle(const ConnectHandle&) = delete;
  ConnectHandle& operator=(const ConnectHandle&) = delete;
  ~ConnectHandle() override { attempt_->cancel(); }

 private:
  std::shared_ptr<TcpConnecting> attempt_;
};

}  // namespace

struct Transport::State : std::enable_shared_from_this<Transport::State> {
  explicit State(asio::io_context& io) : loop(io) {}

  Result<void> add_listener(const IpAddr& address, IfIndex link = {}, bool not_yet_there = false) {
    tcp::acceptor acceptor(loop);
    error_code code;
    const tcp::endpoint endpoint(to_asio(address, link), port);
    const std::string what = fmt::format("listen on {} port {}", address.str(), port);
    acceptor.open(endpoint.protocol(), code);
    if (code) {
      return fail(to_error(code, what));
    }
    acceptor.set_option(tcp::acceptor::reuse_address(true), code);
    if (address.is_v6()) {
      acceptor.set_option(asio::ip::v6_only(true), code);
    }
    if (not_yet_there) {
      if (auto freed = set_free_bind(acceptor.native_handle(), address.family()); !freed) {
        return freed;
      }
    }
    acceptor.bind(endpoint, code);
    if (!code) {
      acceptor.listen(tcp::acceptor::max_listen_connections, code);
    }
    if (code) {
      return fail(to_error(code, what));
    }
    for (const auto& [peers, password] : passwords) {
      if (peers.family() == address.family()) {
        if (auto keyed = set_md5_key(acceptor.native_handle(), peers, password); !keyed) {
          return keyed;
        }
      }
    }
    acceptors.push_back(std::make_shared<tcp::acceptor>(std::move(acceptor)));
    return {};
  }
  void accept_on(const std::shared_ptr<tcp::acceptor>& acceptor) {
    acceptor->async_accept(
        [self = shared_from_this(), acceptor](const error_code& code, tcp::socket socket) {
          self->on_accepted(acceptor, code, std::move(socket));
        });
  }
  void on_accepted(const std::shared_ptr<tcp::acceptor>& acceptor,
                   const error_code& code,
                   tcp::socket socket) {
    if (code == asio::error::operation_aborted || !acceptor->is_open()) {
      return;
    }
    if (!code) {
      on_accept(std::make_shared<TcpConnection>(std::move(socket), buffer));
    } else if (code == asio::error::no_descriptors) {
      retry_accept(acceptor);
      return;
    }
    accept_on(acceptor);
  }
  // Out of descriptors: accepting at once again would spin.
  void retry_accept(const std::shared_ptr<tcp::acceptor>& acceptor) {
    const auto timer = std::make_shared<asio::steady_timer>(loop, std::chrono::seconds(1));
    timer->async_wait([self = shared_from_this(), acceptor, timer](const error_code&) {
      if (acceptor->is_open()) {
        self->accept_on(acceptor);
      }
    });
  }
  void stop_listening() {
    for (const auto& acceptor : acceptors) {
      error_code ignored;
      acceptor->close(ignored);
    }
    acceptors.clear();
  }

  asio::io_context& loop;
  std::shared_ptr<ReadBuffer> buffer = std::make_shared<ReadBuffer>();
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors;
  std::uint16_t port = 0;
  std::map<Prefix, std::string> passwords;
  OnAccept on_accept;
};

Transport::Transport(asio::io_context& loop) : state_(std::make_shared<State>(loop)) {}

Transport::~Transport() {
  state_->stop_listening();
  state_->on_accept = nullptr;
}

Result<void> Transport::listen(const std::vector<IpAddr>& addresses,
                               std::uint16_t port,
                               OnAccept on_accept) {
  state_->stop_listening();
  state_->port = port;
  state_->on_accept = std::move(on_accept);
  std::vector<IpAddr> all = addresses;
  if (all.empty()) {
    all.push_back(IpAddr());
  }
  for (const IpAddr& address : all) {
    if (auto added = state_->add_listener(address); !added) {
      state_->stop_listening();
      return added;
    }
  }
  if (addresses.empty()) {
    // A machine without IPv6 has only IPv4 peers.
    const auto added = state_->add_listener(IpAddr::v6({}));
    if (!added && added.error().sys_errno != EAFNOSUPPORT &&
        added.error().sys_errno != EADDRNOTAVAIL) {
      state_->stop_listening();
      return fail(added.error());
    }
  }
  for (const auto& acceptor : state_->acceptors) {
    state_->accept_on(acceptor);
  }
  return {};
}

Result<void> Transport::listen_also(const IpAddr& address, IfIndex link) {
  for (const auto& acceptor : state_->acceptors) {
    error_code ignored;
    const auto there = acceptor->local_endpoint(ignored).address();
    const bool same = from_asio(there) == address && link_of(there) == link;
    if (same || (there.is_v4() == address.is_v4() && there.is_unspecified())) {
      return {};
    }
  }
  constexpr bool kNotYetThere = true;
  if (auto added = state_->add_listener(address, link, kNotYetThere); !added) {
    return added;
  }
  state_->accept_on(state_->acceptors.back());
  return {};
}

Result<void> Transport::set_password(const Prefix& peers, const std::string& password) {
  if (password.empty()) {
    state_->passwords.erase(peers);
  } else {
    state_->passwords[peers] = password;
  }
  for (const auto& acceptor : state_->acceptors) {
    error_code code;
    const bool v4 = acceptor->local_endpoint(code).address().is_v4();
    if (code || v4 != (peers.family() == Family::kIpv4)) {
      continue;
    }
    if (auto keyed = set_md5_key(acceptor->native_handle(), peers, password); !keyed) {
      return keyed;
    }
  }
  return {};
}

Result<void> Transport::apply(const SocketOptions& options, Connection& connection) {
  auto& tcp_connection = static_cast<TcpConnection&>(connection);
  return apply_options(tcp_connection.descriptor(), connection.remote_address().family(), options);
}

std::unique_ptr<Connecting> Transport::connect(const ConnectRequest& request,
                                               OnConnect on_connect) {
  auto attempt =
      std::make_shared<TcpConnecting>(state_->loop, state_->buffer, std::move(on_connect));
  attempt->start(request);
  return std::make_unique<ConnectHandle>(std::move(attempt));
}

}  // namespace margay::bgp
