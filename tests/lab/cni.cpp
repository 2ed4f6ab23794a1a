#include "tests/lab/cni.h"

#include <boost/json.hpp>

namespace margay::lab {
namespace {

namespace json = boost::json;

std::string network_configuration(const PodSpec& spec) {
  json::array labels;
  for (const auto& label : spec.labels) {
    labels.push_back(json::object{{"key", label.first}, {"value", label.second}});
  }
  return json::serialize(json::object{
      {"cniVersion", "1.0.0"},
      {"name", "margay"},
      {"type", "margay"},
      {"run_dir", "/run/margay"},
      {"ipam",
       json::object{{"type", "margay-ipam"}, {"assign_ipv4", true}, {"assign_ipv6", false}}},
      {"args", json::object{{"cni", json::object{{"labels", labels}}}}}});
}

std::string first_ipv4(const std::string& text) {
  boost::system::error_code error;
  const json::value answer = json::parse(text, error);
  if (error || !answer.is_object() || !answer.as_object().contains("ips") ||
      !answer.at("ips").is_array()) {
    return {};
  }
  for (const json::value& ip : answer.at("ips").as_array()) {
    const json::value* address = ip.is_object() ? ip.as_object().if_contains("address") : nullptr;
    if (address != nullptr && address->is_string() &&
        address->as_string().find(':') == json::string::npos) {
      const std::string with_length(address->as_string().c_str());
      return with_length.substr(0, with_length.find('/'));
    }
  }
  return {};
}

}  // namespace

ExecResult cni_call(const Node& node,
                    const Node& pod,
                    const PodSpec& spec,
                    const std::string& container_id,
                    const std::string& verb) {
  ExecOptions options;
  options.env = {
      {"CNI_COMMAND", verb},
      {"CNI_CONTAINERID", container_id},
      {"CNI_NETNS", pod.netns_path().string()},
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", "/opt/cni/bin"},
      {"CNI_ARGS",
       fmt::format(
           "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={}",
           spec.ns,
           spec.name,
           container_id)}};
  options.input = network_configuration(spec);
  return node.exec({"margay"}, options);
}

Result<CniAnswer> cni_add(const Node& node,
                          const Node& pod,
                          const PodSpec& spec,
                          const std::string& container_id) {
  const auto begin = std::chrono::steady_clock::now();
  const ExecResult done = cni_call(node, pod, spec, container_id, "ADD");
  const auto took = std::chrono::steady_clock::now() - begin;
  if (!done.ok()) {
    return fail(
        Errc::kUnavailable, "CNI ADD of {}: exit {}: {}{}", spec.name, done.rc, done.out, done.err);
  }
  std::string address = first_ipv4(done.out);
  if (address.empty()) {
    return fail(Errc::kInvalid, "CNI ADD of {}: no IPv4 address in {}", spec.name, done.out);
  }
  return CniAnswer{std::move(address), std::chrono::duration_cast<std::chrono::microseconds>(took)};
}

Result<void> cni_del(const Node& node,
                     const Node& pod,
                     const PodSpec& spec,
                     const std::string& container_id) {
  const ExecResult done = cni_call(node, pod, spec, container_id, "DEL");
  return done.ok() ? Result<void>()
                   : fail(Errc::kUnavailable,
                          "CNI DEL of {}: exit {}: {}{}",
                          spec.name,
                          done.rc,
                          done.out,
                          done.err);
}

}  // namespace margay::lab
