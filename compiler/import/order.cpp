// The order of a graph's nodes. ONNX wants files in topological order, but converters and
// hand-written files often are not; sorting costs nothing and tells a cycle from a mere disorder.
#include <algorithm>
#include <queue>

#include "compiler/import/importer.h"

namespace sylvite {
namespace {

using Nodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;

void collect_free_names(const onnx::GraphProto &graph, std::vector<std::string> &names);

void collect_names_read(const onnx::NodeProto &node, std::vector<std::string> &names) {
  for (const std::string &input : node.input()) {
    if (!input.empty()) {
      names.push_back(input);
    }
  }
  for (const onnx::AttributeProto &attribute : node.attribute()) {
    if (attribute.has_g()) {
      collect_free_names(attribute.g(), names);
    }
    for (const onnx::GraphProto &graph : attribute.graphs()) {
      collect_free_names(graph, names);
    }
  }
}

// The names that a nested graph reads and does not define.
void collect_free_names(const onnx::GraphProto &graph, std::vector<std::string> &names) {
  std::set<std::string> own;
  std::vector<std::string> read;
  for (const auto &input : graph.input()) {
    own.insert(input.name());
  }
  for (const auto &tensor : graph.initializer()) {
    own.insert(tensor.name());
  }
  for (const onnx::NodeProto &node : graph.node()) {
    own.insert(node.output().begin(), node.output().end());
    collect_names_read(node, read);
  }
  for (const auto &output : graph.output()) {
    read.push_back(output.name());
  }
  for (const std::string &name : read) {
    if (own.count(name) == 0) {
      names.push_back(name);
    }
  }
}

struct Edges {
  std::vector<std::vector<int>> readers;  // of each node
  std::vector<int> waiting;               // how many nodes each waits for
  std::vector<std::vector<int>> producers;
};

Edges find_edges(const Nodes &nodes, const std::string &prefix) {
  std::unordered_map<std::string, int> producer;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string &output : nodes[i].output()) {
      const auto [known, fresh] = producer.emplace(output, i);
      if (!output.empty() && !fresh) {
        throw LocatedError("node '" + source_name(nodes[i], i, prefix) + "' (" +
                           printable(nodes[i].op_type()) + "): its output '" + printable(output) +
                           "' is also an output of node '" +
                           source_name(nodes[known->second], known->second, prefix) + "'");
      }
    }
  }
  const auto count = static_cast<size_t>(nodes.size());
  Edges edges{std::vector<std::vector<int>>(count), std::vector<int>(count, 0),
              std::vector<std::vector<int>>(count)};
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string &name : names_read_by(nodes[i])) {
      const auto found = producer.find(name);
      if (found != producer.end()) {
        edges.readers[static_cast<size_t>(found->second)].push_back(i);
        edges.producers[static_cast<size_t>(i)].push_back(found->second);
        ++edges.waiting[static_cast<size_t>(i)];
      }
    }
  }
  return edges;
}

// Walks from a node that waits to one that it waits for, until a node comes again.
[[noreturn]] void fail_with_cycle(const Nodes &nodes, const Edges &edges,
                                  const std::string &prefix) {
  const auto waits = [&](int i) { return edges.waiting[static_cast<size_t>(i)] > 0; };
  int at = 0;
  while (!waits(at)) {
    ++at;
  }
  std::vector<int> path;
  std::unordered_map<int, size_t> position;
  while (position.emplace(at, path.size()).second) {
    path.push_back(at);
    const std::vector<int> &producers = edges.producers[static_cast<size_t>(at)];
    at = *std::find_if(producers.begin(), producers.end(), waits);
  }
  const size_t begin = position[at];
  std::string text = "nodes wait for each other: '" + source_name(nodes[at], at, prefix) + "'";
  constexpr size_t kShown = 6;
  for (size_t i = begin + 1; i < path.size() && i < begin + kShown; ++i) {
    text += " reads from '" + source_name(nodes[path[i]], path[i], prefix) + "'";
  }
  text += path.size() - begin > kShown ? " reads from ... and that from" : " reads from";
  throw LocatedError(text + " '" + source_name(nodes[at], at, prefix) + "'");
}

}  // namespace

std::vector<std::string> names_read_by(const onnx::NodeProto &node) {
  std::vector<std::string> names;
  collect_names_read(node, names);
  return names;
}

std::string source_name(const onnx::NodeProto &node, int index, const std::string &prefix) {
  std::string name = prefix;
  if (!node.name().empty()) {
    name += printable(node.name());
  } else {
    name += printable(node.op_type()) + "_" + std::to_string(index);
    const auto output = std::find_if(node.output().begin(), node.output().end(),
                                     [](const std::string &text) { return !text.empty(); });
    if (output != node.output().end()) {
      name += " (output " + printable(*output) + ")";
    }
  }
  // Functions in functions put names before names.
  constexpr size_t kMaxLength = 400;
  return name.size() <= kMaxLength ? name : "..." + name.substr(name.size() - kMaxLength);
}

std::vector<int> topological_order(const Nodes &nodes, const std::string &prefix) {
  Edges edges = find_edges(nodes, prefix);
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < nodes.size(); ++i) {
    if (edges.waiting[static_cast<size_t>(i)] == 0) {
      ready.push(i);
    }
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int next = ready.top();
    ready.pop();
    order.push_back(next);
    for (const int reader : edges.readers[static_cast<size_t>(next)]) {
      if (--edges.waiting[static_cast<size_t>(reader)] == 0) {
        ready.push(reader);
      }
    }
  }
  if (order.size() != static_cast<size_t>(nodes.size())) {
    fail_with_cycle(nodes, edges, prefix);
  }
  return order;
}

}  // namespace sylvite
