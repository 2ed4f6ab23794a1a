#include "tests/support/cni_driver.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <unistd.h>

namespace margay::test {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

namespace {

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      ends = {-1, -1};
    }
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(std::size_t end) {
    if (ends[end] >= 0) {
      ::close(ends[end]);
      ends[end] = -1;
    }
  }
};

pid_t start(const CniCall& call, Pipe& in, Pipe& out, Pipe& err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
  std::vector<std::string> variables;
  variables.reserve(call.environment.size());
  for (const auto& [name, value] : call.environment) {
    variables.push_back(name);
    variables.back().append("=").append(value);
  }
  std::vector<char*> environment;
  environment.reserve(variables.size() + 1);
  for (std::string& variable : variables) {
    environment.push_back(variable.data());
  }
  environment.push_back(nullptr);
  std::string program = call.plugin;
  std::array<char*, 2> arguments{program.data(), nullptr};
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  return failed == 0 ? pid : -1;
}

// Reads one ready end; closes it at its end of file.
void drain(Pipe& pipe, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t got = ::read(pipe.ends[0], buffer.data(), buffer.size());
  if (got > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  } else if (got == 0 || errno != EINTR) {
    pipe.close_end(0);
  }
}

void feed(Pipe& pipe, const std::string& text, std::size_t& written) {
  const ssize_t put = ::write(pipe.ends[1], text.data() + written, text.size() - written);
  if (put > 0) {
    written += static_cast<std::size_t>(put);
  }
  if ((put < 0 && errno != EINTR) || written == text.size()) {
    pipe.close_end(1);
  }
}

void exchange(const CniCall& call, Pipe& in, Pipe& out, Pipe& err, CniAnswer& answer) {
  const auto deadline = Clock::now() + call.limit;
  std::size_t written = 0;
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      return;
    }
    std::array<pollfd, 3> ready{pollfd{in.ends[1], POLLOUT, 0},
                                pollfd{out.ends[0], POLLIN, 0},
                                pollfd{err.ends[0], POLLIN, 0}};
    ::poll(ready.data(), ready.size(), static_cast<int>(left.count()));
    if (ready[0].revents != 0) {
      feed(in, call.config, written);
    }
    if (ready[1].revents != 0) {
      drain(out, answer.out);
    }
    if (ready[2].revents != 0) {
      drain(err, answer.err);
    }
  }
}

Error plugin_error(const std::string& verb, const CniPod& pod, const CniAnswer& answer) {
  std::string text = verb + " " + pod.container_id + ": exit " + std::to_string(answer.exit_code);
  boost::system::error_code errc;
  const json::value value = json::parse(answer.out, errc);
  if (!errc && value.is_object()) {
    const json::object& object = value.get_object();
    if (const auto* code = object.if_contains("code")) {
      text = verb + " " + pod.container_id + ": code " + json::serialize(*code);
    }
    for (const char* field : {"msg", "details"}) {
      const auto* part = object.if_contains(field);
      if (part != nullptr && part->is_string() && !part->get_string().empty()) {
        text += ": " + std::string(part->get_string());
      }
    }
  } else {
    text += ": " + answer.out + answer.err;
  }
  return {Errc::kInternal, text, 0};
}

json::array to_array(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) {
    array.emplace_back(text);
  }
  return array;
}

}  // namespace

CniAnswer run_cni(const CniCall& call) {
  ::signal(SIGPIPE, SIG_IGN);
  CniAnswer answer;
  Pipe in;
  Pipe out;
  Pipe err;
  const auto begin = Clock::now();
  const pid_t pid = start(call, in, out, err);
  if (pid < 0) {
    answer.err = "cannot start " + call.plugin;
    return answer;
  }
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  exchange(call, in, out, err, answer);
  if (out.ends[0] >= 0 || err.ends[0] >= 0) {
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  answer.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
  answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return answer;
}

std::string CniRuntime::config(const CniPod& pod) const {
  json::object labels;
  for (const auto& [key, value] : pod.labels) {
    labels[key] = value;
  }
  json::object config{{"cniVersion", version},
                      {"name", network},
                      {"type", "margay"},
                      {"run_dir", run_dir},
                      {"timeout_s", timeout_s},
                      {"labels", labels},
                      {"ipam",
                       json::object{{"type", "margay-ipam"},
                                    {"assign_ipv4", ipv4},
                                    {"assign_ipv6", ipv6},
                                    {"ipv4_pools", to_array(ipv4_pools)}}}};
  boost::system::error_code errc;
  json::value previous = json::parse(pod.prev_result, errc);
  if (!errc && previous.is_object()) {
    config["prevResult"] = std::move(previous);
  }
  json::value runtime = json::parse(pod.runtime_config, errc);
  if (!errc && runtime.is_object()) {
    config["runtimeConfig"] = std::move(runtime);
  }
  return json::serialize(config);
}

CniAnswer CniRuntime::call(const std::string& verb, const CniPod& pod) const {
  std::map<std::string, std::string> environment{
      {"CNI_COMMAND", verb},
      {"CNI_CONTAINERID", pod.container_id},
      {"CNI_NETNS", pod.netns},
      {"CNI_IFNAME", pod.ifname},
      {"CNI_PATH", plugin.substr(0, plugin.rfind('/'))},
  };
  if (!pod.ns.empty() || !pod.name.empty()) {
    environment["CNI_ARGS"] = "IgnoreUnknown=1;K8S_POD_NAMESPACE=" + pod.ns +
                              ";K8S_POD_NAME=" + pod.name +
                              ";K8S_POD_INFRA_CONTAINER_ID=" + pod.container_id;
  }
  return run_cni(
      {.plugin = plugin,
       .environment = environment,
       .config = config(pod),
       .limit = kill_after.count() > 0 ? kill_after : std::chrono::seconds(timeout_s + 20)});
}

Result<CniAdded> CniRuntime::add(const CniPod& pod) const {
  const CniAnswer answer = call("ADD", pod);
  if (answer.exit_code != 0) {
    return fail(plugin_error("ADD", pod, answer));
  }
  boost::system::error_code errc;
  const json::value value = json::parse(answer.out, errc);
  const auto* object = errc ? nullptr : value.if_object();
  const auto* ips = object == nullptr ? nullptr : object->if_contains("ips");
  if (ips == nullptr || !ips->is_array()) {
    return fail(Errc::kInvalid, "ADD {}: not a result: {}", pod.container_id, answer.out);
  }
  CniAdded added{.addresses = {}, .host_interface = {}, .json = answer.out, .took = answer.took};
  for (const json::value& ip : ips->get_array()) {
    const std::string text(ip.as_object().at("address").as_string());
    const auto address = InterfaceAddr::parse(text);
    if (!address) {
      return fail(address.error(), "ADD {}", pod.container_id);
    }
    added.addresses.push_back(address->addr);
  }
  if (const auto* interfaces = object->if_contains("interfaces")) {
    for (const json::value& interface : interfaces->as_array()) {
      const auto* sandbox = interface.as_object().if_contains("sandbox");
      if (sandbox == nullptr || sandbox->as_string().empty()) {
        added.host_interface = std::string(interface.as_object().at("name").as_string());
      }
    }
  }
  return added;
}

Result<void> CniRuntime::del(const CniPod& pod) const {
  const CniAnswer answer = call("DEL", pod);
  return answer.exit_code == 0 ? Result<void>() : fail(plugin_error("DEL", pod, answer));
}

Result<void> CniRuntime::check(const CniPod& pod) const {
  const CniAnswer answer = call("CHECK", pod);
  return answer.exit_code == 0 ? Result<void>() : fail(plugin_error("CHECK", pod, answer));
}

}  // namespace margay::test
