#include "cli/commands.h"

#include "cli/bgp_warnings.h"
#include "cli/confirm.h"
#include "cli/control.h"
#include "cli/edit.h"
#include "cli/explain.h"
#include "cli/get.h"
#include "cli/ipam.h"
#include "cli/ipam_check.h"
#include "cli/ipam_outlook.h"
#include "cli/named.h"
#include "cli/policy_diff.h"
#include "cli/policy_lint.h"
#include "cli/policy_test.h"
#include "cli/resources.h"
#include "cli/table.h"
#include "cli/wait.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <sstream>

namespace margay::cli {

namespace {

using Action = std::function<int(Context&)>;

// Arguments of all commands: CLI11 binds to them, the chosen action reads them.
struct Arguments {
  std::vector<std::string> files;
  bool dry_run = false;
  bool force = false;
  GetOptions get;
  std::string ns = "default";
  std::string output = "table";
  std::string kind;
  std::string name;
  std::vector<std::string> names;
  std::string prefix;
  bool strict = false;
  std::string peer;
  IpamShowOptions ipam;
  IpamOutlookOptions outlook;
  IpamReleaseOptions release;
  ExplainOptions explain;
  PolicyTestOptions policy_test;
  PolicyDiffOptions policy_diff;
  PolicyLintOptions policy_lint;
  LabelOptions label;
  PatchOptions patch;
  WaitOptions wait;
  unsigned timeout_s = 30;
  unsigned confirm_s = 0;  // 0: the change is not on trial
  bool revert = false;
  bool enforced = false;
  std::string shell;
};

int print_outcomes(Context& context, const std::vector<Outcome>& outcomes, bool dry_run) {
  int code = kDone;
  for (const Outcome& outcome : outcomes) {
    if (outcome.error) {
      code = kFailed;
      context.err() << "margayctl: " << outcome.file << ": ";
      if (outcome.object.empty()) {
        context.err() << outcome.error->text << '\n';  // names the document itself
      } else {
        context.err() << "document " << outcome.document << ": " << outcome.error->text << '\n';
      }
    } else {
      context.out() << outcome.object << ' ' << outcome.action << (dry_run ? " (dry run)" : "")
                    << '\n';
    }
  }
  if (outcomes.empty()) {
    context.err() << "margayctl: no document found\n";
    return kFailed;
  }
  return code;
}

// What the change does to BGP; how many lines there were.
std::size_t warn(Context& context, const std::vector<Input>& inputs, const RunOptions& options) {
  const auto store = context.store();
  if (!store) {
    return 0;
  }
  return print_bgp_warnings(context, **store, planned_edits(inputs, options));
}

int validate_files(Context& context,
                   const std::vector<Input>& inputs,
                   const RunOptions& options,
                   bool strict) {
  const int code = print_outcomes(context, run_documents(nullptr, inputs, options), false);
  if (!strict || code != kDone) {
    return code;
  }
  if (const auto store = context.store(); !store) {
    return context.report(store.error());
  }
  return warn(context, inputs, options) == 0 ? kDone : kFailed;
}

int run_files(Context& context, Verb verb, const Arguments& arguments) {
  const auto inputs = read_inputs(arguments.files, context.in());
  if (!inputs) {
    return context.report(inputs.error());
  }
  const RunOptions options{verb, arguments.dry_run, arguments.ns, arguments.force};
  if (verb == Verb::kValidate) {
    return validate_files(context, *inputs, options, arguments.strict);
  }
  const bool brings = verb == Verb::kCreate || verb == Verb::kApply;
  if (brings && !arguments.dry_run) {
    context.open_mode = datastore::OpenMode::kCreate;
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  warn(context, *inputs, options);
  if (arguments.confirm_s > 0 && !arguments.dry_run) {
    const auto outcomes =
        run_on_trial(context, *inputs, options, std::chrono::seconds(arguments.confirm_s));
    return outcomes ? print_outcomes(context, *outcomes, false) : context.report(outcomes.error());
  }
  return print_outcomes(context, run_documents(*store, *inputs, options), arguments.dry_run);
}

int delete_named(Context& context, const Arguments& arguments) {
  const auto named = parse_named(arguments.kind, arguments.names);
  if (!named) {
    context.report(named.error());
    return kUsage;
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  std::vector<datastore::PlannedEdit> edits;
  for (const std::string& name : named->names) {
    const std::string ns = api::spec_of(named->kind).namespaced ? arguments.ns : std::string();
    edits.push_back({api::ResourceKey{named->kind, ns, name}, nullptr});
  }
  print_bgp_warnings(context, **store, edits);
  const RunOptions options{Verb::kDelete, arguments.dry_run, arguments.ns, arguments.force};
  int code = kDone;
  for (const datastore::PlannedEdit& edit : edits) {
    if (const auto done = delete_object(**store, edit.key, options); !done) {
      code = context.report(done.error());
      continue;
    }
    context.out() << edit.key.str() << " deleted" << (arguments.dry_run ? " (dry run)" : "")
                  << '\n';
  }
  return code;
}

int print_answer(Context& context, const Result<std::string>& answer) {
  if (!answer) {
    return context.report(answer.error());
  }
  context.out() << *answer;
  return kDone;
}

ControlOptions control_options(const Context& context, const Arguments& arguments) {
  return {context.run_dir, arguments.output == "json"};
}

// "90s", "2m"; the default unit is the second.
CLI::Option* seconds_option(CLI::App& command,
                            const char* name,
                            unsigned& value,
                            const char* help) {
  constexpr unsigned kMinute = 60;
  constexpr unsigned kHour = 3600;
  return command.add_option(name, value, help)
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, unsigned>{{"s", 1}, {"m", kMinute}, {"h", kHour}}));
}

void add_trial(CLI::App& command, Arguments& arguments) {
  seconds_option(command,
                 "--confirm",
                 arguments.confirm_s,
                 "revert after this time (60s, 5m) unless `margayctl confirm` comes")
      ->check(CLI::Range(1U, static_cast<unsigned>(kLongestConfirm.count())));
}

void add_file_commands(CLI::App& app, Arguments& arguments, Action& action) {
  struct Row {
    const char* name;
    const char* help;
    Verb verb;
  };
  for (const Row& row : {
           Row{"create", "create the objects of files; fails for those that exist", Verb::kCreate},
           Row{"apply", "create or update the objects of files", Verb::kApply},
           Row{"replace",
               "update the objects of files; fails for those that do not exist",
               Verb::kReplace},
           Row{"validate", "check files without a datastore, but for --strict", Verb::kValidate},
       }) {
    auto* command = app.add_subcommand(row.name, row.help);
    command->add_option("-f,--filename", arguments.files, "file, folder, or - for standard input")
        ->required();
    command->add_option("-n,--namespace", arguments.ns, "namespace of documents that name none");
    if (row.verb == Verb::kValidate) {
      command->add_flag("--strict",
                        arguments.strict,
                        "fail also for what apply warns of; this reads the datastore");
    } else {
      command->add_flag("--dry-run", arguments.dry_run, "do everything but write");
      add_trial(*command, arguments);
    }
    command->callback([&arguments, &action, verb = row.verb] {
      action = [&arguments, verb](Context& context) { return run_files(context, verb, arguments); };
    });
  }
}

void add_delete(CLI::App& app, Arguments& arguments, Action& action) {
  auto* command =
      app.add_subcommand("delete", "delete the objects of files, or one object by kind and name");
  command->add_option("-f,--filename", arguments.files, "file, folder, or - for standard input");
  command->add_option("-n,--namespace", arguments.ns, "namespace");
  command->add_flag("--dry-run", arguments.dry_run, "do everything but write");
  command->add_flag("--force", arguments.force, "a pool although its addresses are in use");
  add_trial(*command, arguments);
  command->add_option("kind", arguments.kind, "kind, singular, plural or short");
  command->add_option("name", arguments.names, "names; or KIND/NAME for both");
  command->callback([&arguments, &action] {
    const bool by_file = !arguments.files.empty();
    const bool by_name = !arguments.names.empty() || arguments.kind.find('/') != std::string::npos;
    if (by_file == by_name || (by_file && !arguments.kind.empty())) {
      throw CLI::ValidationError("delete", "give either -f FILE or KIND NAME");
    }
    if (by_name && arguments.confirm_s > 0) {
      throw CLI::ValidationError("delete", "--confirm goes with -f FILE");
    }
    action = [&arguments, by_file](Context& context) {
      return by_file ? run_files(context, Verb::kDelete, arguments)
                     : delete_named(context, arguments);
    };
  });
}

void add_get(CLI::App& app, Arguments& arguments, Action& action) {
  auto* command = app.add_subcommand("get", "show objects");
  GetOptions& options = arguments.get;
  command->add_option("kind", options.kind, "kind, singular, plural or short")->required();
  command->add_option("name", options.names, "names, or KIND/NAME for both; all when absent");
  command->add_option("-n,--namespace", options.ns, "namespace; default \"default\"");
  command->add_flag("-A,--all-namespaces", options.all_namespaces, "all namespaces");
  command->add_option("-l,--selector", options.selector, "only objects whose labels match");
  command->add_option("-o,--output", options.output, "table, wide, yaml, json or name");
  command->add_flag("-w,--watch", options.watch, "then print every change");
  command->callback([&options, &action] {
    action = [&options](Context& context) { return get(context, options); };
  });
}

void add_wait(CLI::App& app, Arguments& arguments, Action& action) {
  auto* command =
      app.add_subcommand("wait", "until every node that needs an object has it in its kernel");
  WaitOptions& options = arguments.wait;
  command->add_option("kind", options.kind, "kind, singular, plural or short")->required();
  command->add_option("name", options.name, "name")->required();
  command->add_option("-n,--namespace", options.ns, "namespace; default \"default\"");
  command->add_flag("--enforced", arguments.enforced, "what to wait for")->required();
  seconds_option(*command, "--timeout", arguments.timeout_s, "such as 90s or 2m; default 30s");
  command->callback([&arguments, &options, &action] {
    options.timeout = std::chrono::seconds(arguments.timeout_s);
    action = [&options](Context& context) { return wait_enforced(context, options); };
  });
}

void add_object(CLI::App& command, EditOptions& options) {
  command.add_option("kind", options.kind, "kind, singular, plural or short")->required();
  command.add_option("name", options.name, "name")->required();
  command.add_option("-n,--namespace", options.ns, "namespace; default \"default\"");
  command.add_flag("--dry-run", options.dry_run, "do everything but write");
}

void add_edits(CLI::App& app, Arguments& arguments, Action& action) {
  auto* labels = app.add_subcommand("label", "set or remove labels of an object");
  add_object(*labels, arguments.label);
  labels->add_option("changes", arguments.label.changes, "KEY=VALUE, or KEY- to remove it")
      ->required();
  labels->add_flag("--overwrite", arguments.label.overwrite, "also those that have another value");
  labels->callback(
      [&] { action = [&](Context& context) { return label(context, arguments.label); }; });
  auto* patches = app.add_subcommand("patch", "change fields of an object by a JSON merge patch");
  add_object(*patches, arguments.patch);
  patches->add_option("-p,--patch", arguments.patch.patch, "JSON or YAML; null removes a field")
      ->required();
  patches->callback(
      [&] { action = [&](Context& context) { return patch(context, arguments.patch); }; });
  auto* all = app.add_subcommand("export", "the whole store as YAML");
  all->callback([&] { action = [](Context& context) { return export_all(context); }; });
  auto* imports = app.add_subcommand("import", "what export wrote, back into a store");
  imports->add_option("-f,--filename", arguments.files, "file, folder, or - for standard input")
      ->required();
  imports->add_flag("--dry-run", arguments.dry_run, "do everything but write");
  imports->callback([&] {
    action = [&](Context& context) { return run_files(context, Verb::kApply, arguments); };
  });
}

void add_confirm(CLI::App& app, Arguments& arguments, Action& action) {
  auto* command = app.add_subcommand("confirm", "keep the change that --confirm put on trial");
  command->add_flag("--revert", arguments.revert, "take it back now instead");
  command->callback([&arguments, &action] {
    action = [&arguments](Context& context) { return confirm(context, arguments.revert); };
  });
}

void add_output(CLI::App* command, Arguments& arguments) {
  command->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
}

void add_node_commands(CLI::App& app, Arguments& arguments, Action& action) {
  auto* node = app.add_subcommand("node", "the agent of this node");
  node->require_subcommand(1);
  auto* status = node->add_subcommand("status", "agent, datastore, kernel, BGP sessions, counts");
  add_output(status, arguments);
  status->callback([&] {
    action = [&](Context& context) {
      return print_answer(context, node_status(control_options(context, arguments)));
    };
  });

  auto* drain = node->add_subcommand(
      "drain-bgp", "peers hear GRACEFUL_SHUTDOWN, and ten seconds later no route of the node");
  drain->add_option("node", arguments.name, "name of a Node")->required();
  drain->callback(
      [&] { action = [&](Context& context) { return drain_bgp(context, arguments.name, true); }; });
  auto* undrain = node->add_subcommand("undrain-bgp", "peers hear the routes of the node again");
  undrain->add_option("node", arguments.name, "name of a Node")->required();
  undrain->callback([&] {
    action = [&](Context& context) { return drain_bgp(context, arguments.name, false); };
  });

  auto* doctor = app.add_subcommand(
      "doctor",
      "what is wrong with datastore, agent, kernel and BGP of this node; exit 1 for errors");
  add_output(doctor, arguments);
  doctor->callback([&] {
    action = [&](Context& context) {
      const auto diagnosis = diagnose_node(control_options(context, arguments));
      if (!diagnosis) {
        return context.report(diagnosis.error());
      }
      context.out() << diagnosis->text;
      return diagnosis->healthy ? kDone : kFailed;
    };
  });

  auto* dataplane = app.add_subcommand("dataplane", "what the kernel of this node holds");
  dataplane->require_subcommand(1);
  auto* show = dataplane->add_subcommand(
      "show", "policies of each workload in order; of one workload every rule with its counter");
  show->add_option("endpoint", arguments.name, "namespace/pod, interface or address");
  add_output(show, arguments);
  show->callback([&] {
    action = [&](Context& context) {
      return print_answer(context,
                          dataplane_show(control_options(context, arguments), arguments.name));
    };
  });
}

void add_bgp_commands(CLI::App& app, Arguments& arguments, Action& action) {
  auto* bgp = app.add_subcommand("bgp", "the BGP speaker of this node");
  bgp->require_subcommand(1);
  auto* peers = bgp->add_subcommand("peers", "sessions");
  add_output(peers, arguments);
  peers->callback([&] {
    action = [&](Context& context) {
      return print_answer(context, bgp_peers(control_options(context, arguments)));
    };
  });
  auto* routes = bgp->add_subcommand("routes", "every path and why the best one won");
  routes->add_option("prefix",
                     arguments.prefix,
                     "only this prefix, or the one that an address is in, with all attributes");
  add_output(routes, arguments);
  routes->callback([&] {
    action = [&](Context& context) {
      return print_answer(context,
                          bgp_routes(control_options(context, arguments), arguments.prefix));
    };
  });
  auto* exported =
      bgp->add_subcommand("export", "what a peer is told, and what decided it or spoke against it");
  exported->add_option("peer", arguments.peer, "name or address")->required();
  exported->add_option("prefix",
                       arguments.prefix,
                       "only this prefix, or the one that an address is in, with all attributes");
  add_output(exported, arguments);
  exported->callback([&] {
    action = [&](Context& context) {
      return print_answer(
          context,
          bgp_export(control_options(context, arguments), arguments.peer, arguments.prefix));
    };
  });
  auto* dump = bgp->add_subcommand("dump-table", "the table as an MRT file of the node");
  add_output(dump, arguments);
  dump->callback([&] {
    action = [&](Context& context) {
      return print_answer(context, bgp_dump_table(control_options(context, arguments)));
    };
  });
  auto* neighbors = bgp->add_subcommand("neighbors", "one peer: what it sent, what it was sent");
  neighbors->add_option("peer", arguments.peer, "name or address")->required();
  add_output(neighbors, arguments);
  neighbors->callback([&] {
    action = [&](Context& context) {
      return print_answer(context,
                          bgp_neighbor(control_options(context, arguments), arguments.peer));
    };
  });
}

void add_ipam_check(CLI::App& ipam, Arguments& arguments, Action& action) {
  auto* check = ipam.add_subcommand(
      "check", "whether blocks, handles and endpoints agree; exit 1 when they do not");
  check->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  check->callback([&] {
    action = [&](Context& context) {
      const auto store = context.store();
      if (!store) {
        return context.report(store.error());
      }
      const auto found = ipam_check(**store, arguments.output == "json");
      if (!found) {
        return context.report(found.error());
      }
      context.out() << found->text;
      return found->problems == 0 ? kDone
                                  : context.report({Errc::kConflict,
                                                    fmt::format("{} problems found; ipam release "
                                                                "--leaks frees leaked addresses",
                                                                found->problems)});
    };
  });
}

void add_ipam_release(CLI::App& ipam, Arguments& arguments, Action& action) {
  auto* release = ipam.add_subcommand("release", "free addresses that nobody has any more");
  IpamReleaseOptions& options = arguments.release;
  auto* what = release->add_option_group("what");
  what->add_option("--ip", options.address, "this address");
  what->add_option("--handle", options.handle, "all of this handle");
  what->add_flag("--leaks", options.leaks, "all that ipam check calls leaked");
  what->require_option(1);
  release->add_flag("--force", options.force, "with --ip: although an endpoint has it");
  release->callback([&] {
    action = [&](Context& context) {
      const auto store = context.store();
      if (!store) {
        return context.report(store.error());
      }
      return print_answer(context, ipam_release(**store, arguments.release));
    };
  });
}

void add_ipam(CLI::App& app, Arguments& arguments, Action& action) {
  auto* ipam = app.add_subcommand("ipam", "addresses");
  ipam->require_subcommand(1);
  auto* show = ipam->add_subcommand(
      "show", "use per pool, node and block; what a container would get, or why nothing");
  auto* nodes = show->add_flag("--nodes", arguments.ipam.nodes, "a line per node");
  auto* blocks = show->add_flag("--blocks", arguments.ipam.blocks, "a line per block");
  auto* ip = show->add_option("--ip", arguments.ipam.address, "who owns this address");
  auto* node = show->add_option("--node",
                                arguments.outlook.node,
                                "what a container of this node would get now, and from which pools")
                   ->excludes(ip)
                   ->excludes(nodes)
                   ->excludes(blocks);
  show->add_option("-n,--namespace", arguments.outlook.ns, "of the container; default: default")
      ->needs(node);
  show->add_option(
          "--pools", arguments.outlook.pools, "that its pod asks for by annotation: NAME,CIDR,...")
      ->delimiter(',')
      ->needs(node);
  show->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  show->callback([&] {
    action = [&](Context& context) {
      const auto store = context.store();
      if (!store) {
        return context.report(store.error());
      }
      arguments.ipam.json = arguments.output == "json";
      arguments.outlook.json = arguments.ipam.json;
      return print_answer(context,
                          arguments.outlook.node.empty()
                              ? ipam_show(**store, arguments.ipam)
                              : ipam_outlook(**store, arguments.outlook));
    };
  });
  add_ipam_check(*ipam, arguments, action);
  add_ipam_release(*ipam, arguments, action);
}

void add_policy_test(CLI::App& policy, Arguments& arguments, Action& action) {
  auto* command = policy.add_subcommand(
      "test", "a file of expectations against the stored policy; exit 1 when one fails");
  PolicyTestOptions& options = arguments.policy_test;
  command->add_option("-f,--filename", options.tests, "files or folders of tests; - reads stdin")
      ->required();
  command->add_option("--with", options.with, "documents as if they were applied already");
  command->add_flag("--staged", options.staged, "as if staged policies took effect");
  command->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command->callback([&] {
    action = [&](Context& context) {
      options.json = arguments.output == "json";
      return policy_test(context, options);
    };
  });
}

void add_policy_diff(CLI::App& policy, Arguments& arguments, Action& action) {
  auto* command = policy.add_subcommand(
      "diff", "which endpoints, protocols and ports would change their verdict");
  PolicyDiffOptions& options = arguments.policy_diff;
  command->add_option("-f,--filename", options.files, "documents as if they were applied");
  command->add_option("--remove", options.removed, "documents as if they were deleted");
  command->add_flag("--staged", options.staged, "as if staged policies took effect");
  command->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command->callback([&] {
    if (options.files.empty() && options.removed.empty() && !options.staged) {
      throw CLI::RequiredError("-f, --remove or --staged");
    }
    action = [&](Context& context) {
      options.json = arguments.output == "json";
      return policy_diff(context, options);
    };
  });
}

void add_policy_lint(CLI::App& policy, Arguments& arguments, Action& action) {
  auto* command = policy.add_subcommand(
      "lint", "rules that never match or are never reached, names of what is not there");
  PolicyLintOptions& options = arguments.policy_lint;
  command->add_option("-f,--filename", options.files, "only these documents, as if applied");
  command->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command->callback([&] {
    action = [&](Context& context) {
      options.json = arguments.output == "json";
      return policy_lint(context, options);
    };
  });
}

void add_policy(CLI::App& app, Arguments& arguments, Action& action) {
  auto* policy = app.add_subcommand("policy", "what policy says");
  policy->require_subcommand(1);
  add_policy_test(*policy, arguments, action);
  add_policy_diff(*policy, arguments, action);
  add_policy_lint(*policy, arguments, action);
  auto* command =
      policy->add_subcommand("explain", "the verdict between two ends, and the rules that give it");
  ExplainOptions& options = arguments.explain;
  command->add_option("source", options.source, "namespace/pod, endpoint, address, or selector")
      ->required();
  command
      ->add_option(
          "destination", options.destination, "namespace/pod, endpoint, address, or selector")
      ->required();
  command->add_option(
      "--protocol", options.protocol, "TCP, UDP, SCTP, ICMP, ICMPv6 or a number; default TCP");
  command->add_option("--port", options.port, "destination port")->check(CLI::Range(1, 65535));
  command->add_option(
      "--domain-name", options.domain_name, "that the source asked DNS for to get the destination");
  command->add_flag(
      "--established", options.established, "for a connection that stands, not a new one");
  command->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command->callback([&] {
    action = [&](Context& context) {
      const auto store = context.store();
      if (!store) {
        return context.report(store.error());
      }
      options.json = arguments.output == "json";
      return print_answer(context, explain(**store, options));
    };
  });
}

std::string completion_words(const CLI::App& app) {
  std::string words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += (words.empty() ? "" : " ") + command->get_name();
  }
  return words;
}

// Completes commands, their sub-commands and kinds; made from the command table itself.
std::string completion(const CLI::App& app, const std::string& shell) {
  std::string kinds;
  for (const api::KindSpec& kind : api::all_kinds()) {
    kinds += (kinds.empty() ? "" : " ") + std::string(kind.plural);
  }
  std::ostringstream out;
  if (shell == "fish") {
    out << "complete -c margayctl -n __fish_use_subcommand -f -a '" << completion_words(app)
        << "'\n"
        << "complete -c margayctl -n '__fish_seen_subcommand_from get delete' -f -a '" << kinds
        << "'\n";
  } else {
    if (shell == "zsh") {
      out << "autoload -U +X bashcompinit && bashcompinit\n";
    }
    out << "_margayctl() {\n  local words=\"" << completion_words(app)
        << "\"\n  case \"${COMP_WORDS[1]}\" in\n"
        << "    get|delete) words=\"" << kinds << "\" ;;\n";
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (const std::string words = completion_words(*command); !words.empty()) {
        out << "    " << command->get_name() << ") words=\"" << words << "\" ;;\n";
      }
    }
    out << "  esac\n  [ \"$COMP_CWORD\" = 1 ] && words=\"" << completion_words(app) << "\"\n"
        << "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
        << "complete -o default -F _margayctl margayctl\n";
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (const std::string words = completion_words(*command); shell == "fish" && !words.empty()) {
      out << "complete -c margayctl -n '__fish_seen_subcommand_from " << command->get_name()
          << "' -f -a '" << words << "'\n";
    }
  }
  return out.str();
}

void add_completion(CLI::App& app, Arguments& arguments, Action& action) {
  auto* command = app.add_subcommand("completion", "a script that completes this command line");
  command->add_option("shell", arguments.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &arguments, &action] {
    action = [&](Context& context) {
      context.out() << completion(app, arguments.shell);
      return kDone;
    };
  });
}

// One line: what is wrong and where to read on.
std::string usage_error(const CLI::App& app,
                        const CLI::ParseError& error,
                        const std::vector<std::string>& arguments) {
  std::string what = error.what();
  const bool word = !arguments.empty() && !arguments.front().starts_with("-");
  const auto named = [&arguments](const CLI::App* command) {
    return command->get_name() == arguments.front();
  };
  if (word && app.get_subcommands(named).empty()) {
    what = "unknown command \"" + arguments.front() + "\"";
  }
  std::ranges::replace(what, '\n', ' ');
  return what + ": see margayctl --help";
}

}  // namespace

int run(Context& context, const std::vector<std::string>& arguments_in) {
  CLI::App app(
      "Margay's command line: resources, policy, addresses, and what the agent does with them.",
      "margayctl");
  app.set_version_flag("--version", std::string("margayctl ") + MARGAY_VERSION);
  app.add_option("--datastore",
                 context.datastore,
                 "datastore URL; default " + std::string(datastore::kDefaultStoreUrl))
      ->envname("MARGAY_DATASTORE");
  app.add_option(
         "--run-dir", context.run_dir, "directory of the agent's sockets; default /run/margay")
      ->envname("MARGAY_RUN_DIR");
  app.require_subcommand(1);
  app.fallthrough();

  Arguments arguments;
  Action action;
  add_file_commands(app, arguments, action);
  add_delete(app, arguments, action);
  add_get(app, arguments, action);
  add_edits(app, arguments, action);
  add_confirm(app, arguments, action);
  add_wait(app, arguments, action);
  add_node_commands(app, arguments, action);
  add_bgp_commands(app, arguments, action);
  add_ipam(app, arguments, action);
  add_policy(app, arguments, action);
  add_completion(app, arguments, action);
  try {
    std::vector<std::string> reversed(arguments_in.rbegin(), arguments_in.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error, context.out(), context.err());
      return kDone;
    }
    context.err() << "margayctl: " << usage_error(app, error, arguments_in) << '\n';
    return kUsage;
  }
  return action(context);
}

}  // namespace margay::cli
