#pragma once
// The record of everything a lab has put into the system: one line per namespace, process and pod,
// written before or at the moment the thing comes to be. Whoever opens it later can remove all of
// it, also when the lab's own program is dead.

#include "tests/lab/process.h"

#include <filesystem>
#include <string>
#include <vector>

namespace margay::lab {

struct ProcessRecord {
  std::string node;
  std::string role;  // "holder", "bird", "zebra", "margayd", ...
  ProcessId id;
};

struct PodRecord {
  std::string name;
  std::string ns;  // its Kubernetes-like namespace
  std::string node;
  std::string container_id;
  std::string address;
};

struct LabRecord {
  std::string topology_file;
  std::vector<std::string> namespaces;
  std::vector<ProcessRecord> processes;  // the last one of a node and role is the current one
  std::vector<PodRecord> pods;           // without those removed again
};

class LabState {
 public:
  LabState() = default;
  LabState(const std::filesystem::path& root, const std::string& lab) : dir_(root / lab) {}

  [[nodiscard]] const std::filesystem::path& dir() const { return dir_; }
  [[nodiscard]] bool exists() const;
  Result<void> create(const std::filesystem::path& topology_file);
  [[nodiscard]] Result<LabRecord> read() const;

  [[nodiscard]] Result<void> add_namespace(const std::string& name) const;
  [[nodiscard]] Result<void> add_process(const ProcessRecord& process) const;
  [[nodiscard]] Result<void> add_pod(const PodRecord& pod) const;
  [[nodiscard]] Result<void> remove_pod(const std::string& name) const;

  // Kills what is recorded and still the same process, and what such processes left in the
  // namespaces, deletes these, removes the directory. May run twice.
  [[nodiscard]] Result<void> destroy() const;

 private:
  [[nodiscard]] Result<void> append(const std::string& line) const;

  std::filesystem::path dir_;
};

// The labs that have a record below root.
std::vector<std::string> list_labs(const std::filesystem::path& root);

}  // namespace margay::lab
