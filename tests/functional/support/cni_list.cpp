#include "tests/functional/support/cni_list.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <filesystem>

namespace margay::lab {

namespace json = boost::json;

namespace {

std::string text_of(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

json::value parse_or_null(const std::string& text) {
  boost::system::error_code errc;
  json::value value = json::parse(text, errc);
  return errc ? json::value() : value;
}

// The plugins are built into the same one.
std::string folder_of_this_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

// Of those that the plugin declares.
json::object offered(const json::object& plugin, const json::object& capabilities) {
  json::object given;
  const json::value* declared = plugin.if_contains("capabilities");
  for (const auto& capability : capabilities) {
    const json::value* flag = declared != nullptr && declared->is_object()
                                  ? declared->get_object().if_contains(capability.key())
                                  : nullptr;
    if (flag != nullptr && flag->is_bool() && flag->get_bool()) {
      given[capability.key()] = capability.value();
    }
  }
  return given;
}

}  // namespace

std::int64_t CniOutcome::code() const {
  const json::value error = runs.empty() ? json::value() : parse_or_null(out());
  const json::value* code = error.is_object() ? error.get_object().if_contains("code") : nullptr;
  return code != nullptr && code->is_int64() ? code->get_int64() : 0;
}

std::string CniOutcome::text() const {
  std::string all;
  for (const CniRun& run : runs) {
    all += run.verb + " " + run.type + ": exit " + std::to_string(run.done.rc) + ": " +
           run.done.out + run.done.err + "\n";
  }
  return all;
}

std::vector<std::string> CniOutcome::addresses() const {
  std::vector<std::string> out;
  const json::value* ips = result.is_object() ? result.get_object().if_contains("ips") : nullptr;
  for (const json::value& ip : ips == nullptr ? json::array() : ips->get_array()) {
    const std::string address = text_of(ip.get_object(), "address");
    out.push_back(address.substr(0, address.find('/')));
  }
  return out;
}

CniList::CniList(const Node& node, const std::string& conflist)
    : node_(node), list_(json::parse(conflist).as_object()) {
  for (const json::value& plugin : list_.at("plugins").as_array()) {
    plugins_.push_back(plugin.as_object());
  }
}

std::string CniList::version() const {
  return text_of(list_, "cniVersion");
}

json::value CniList::cached(const CniAttachment& attachment) const {
  const auto found = cache_.find(key(attachment));
  return found == cache_.end() ? json::value() : found->second;
}

json::object CniList::input(std::size_t at,
                            const CniAttachment& attachment,
                            const json::value& previous) const {
  json::object config = plugins_.at(at);  // "capabilities" stays: libcni passes it on
  config["name"] = list_.at("name");
  config["cniVersion"] = list_.at("cniVersion");
  const json::object given = offered(config, attachment.capabilities);
  if (!given.empty()) {
    config["runtimeConfig"] = given;
  }
  if (!previous.is_null()) {
    config["prevResult"] = previous;
  }
  return config;
}

CniRun CniList::run(const std::string& type,
                    const std::string& verb,
                    const json::object& config,
                    const CniAttachment& attachment) const {
  const std::string folders = folder_of_this_program() + ":/usr/lib/cni";
  std::vector<std::string> argv{"env",
                                "CNI_COMMAND=" + verb,
                                "CNI_CONTAINERID=" + attachment.container_id,
                                "CNI_NETNS=" + attachment.netns,
                                "CNI_IFNAME=" + attachment.ifname,
                                "CNI_ARGS=" + attachment.args,
                                "CNI_PATH=" + folders,
                                "PATH=" + folders + ":" + kSystemPath,
                                type};
  ExecOptions options;
  options.input = json::serialize(config);
  return {type, verb, config, node_.exec(argv, options)};
}

CniOutcome CniList::add(const CniAttachment& attachment) {
  CniOutcome outcome;
  outcome.netns = attachment.netns;
  outcome.ifname = attachment.ifname;
  json::value previous;
  for (std::size_t at = 0; at < plugins_.size(); ++at) {
    const std::string type = text_of(plugins_[at], "type");
    outcome.runs.push_back(run(type, "ADD", input(at, attachment, previous), attachment));
    if (!outcome.ok()) {
      return outcome;
    }
    previous = parse_or_null(outcome.out());
  }
  outcome.result = previous;
  cache_[key(attachment)] = previous;
  return outcome;
}

CniOutcome CniList::check(const CniAttachment& attachment) const {
  CniOutcome outcome;
  for (std::size_t at = 0; at < plugins_.size() && outcome.ok(); ++at) {
    const json::object config = input(at, attachment, cached(attachment));
    outcome.runs.push_back(run(text_of(plugins_[at], "type"), "CHECK", config, attachment));
  }
  return outcome;
}

CniOutcome CniList::del(const CniAttachment& attachment, bool with_result) {
  CniOutcome outcome;
  const bool old = version() < "0.4.0";
  const json::value previous = with_result && !old ? cached(attachment) : json::value();
  for (std::size_t left = plugins_.size(); left > 0 && outcome.ok(); --left) {
    const json::object config = input(left - 1, attachment, previous);
    outcome.runs.push_back(run(text_of(plugins_[left - 1], "type"), "DEL", config, attachment));
  }
  if (outcome.ok()) {
    cache_.erase(key(attachment));
  }
  return outcome;
}

CniOutcome CniList::gc(
    const std::optional<std::vector<std::pair<std::string, std::string>>>& valid) const {
  CniOutcome outcome;
  for (std::size_t at = 0; at < plugins_.size(); ++at) {
    json::object config = input(at, {}, {});
    if (valid) {
      json::array attachments;
      for (const auto& each : *valid) {
        attachments.push_back(json::object{{"containerID", each.first}, {"ifname", each.second}});
      }
      config["cni.dev/valid-attachments"] = attachments;
      config["cni.dev/attachments"] = attachments;
    }
    outcome.runs.push_back(run(text_of(plugins_[at], "type"), "GC", config, {}));
  }
  return outcome;
}

CniOutcome CniList::status() const {
  CniOutcome outcome;
  for (std::size_t at = 0; at < plugins_.size() && outcome.ok(); ++at) {
    outcome.runs.push_back(run(text_of(plugins_[at], "type"), "STATUS", input(at, {}, {}), {}));
  }
  return outcome;
}

}  // namespace margay::lab
