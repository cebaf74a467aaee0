// The checks of positions that data decides: kernels read them without looking.
//
// Each Lookup (and scatter) in a kernel's region is followed from its indices through views and
// casts to the kernel's inputs, whose whole buffer is checked once before the call. Indices that
// are proved in range (made by Range, shapes or constants) need nothing. A tuple of GatherND or
// ScatterND has one bound a component: `Component` says which part of a value's last axis is meant.
//
// Checking a whole buffer is stricter than ONNX where a model slices ids before it looks them up;
// no exporter feeds ids that it then throws away.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/codegen/plan_parts.h"
#include "compiler/codegen/value_ranges.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Elements number j of every `width` along the last axis; width 1 means all elements.
struct Component {
  int64_t width = 1, j = 0;
};

struct Lookup {
  const Node *node = nullptr;
  const Value *indices = nullptr;
  Component component;
  Dim bound;
  int64_t axis = 0;  // of the data
};

void add_tuple(const Node &node, size_t first_axis, std::vector<Lookup> &lookups) {
  const Value &indices = *node.input(1);
  SYLVITE_CHECK(!indices.type.shape.empty(), describe(node));
  const std::optional<int64_t> width = indices.type.shape.back().constant();
  SYLVITE_CHECK(width.has_value(), describe(node));
  for (int64_t j = 0; j < *width; ++j) {
    const size_t axis = first_axis + static_cast<size_t>(j);
    lookups.push_back({&node,
                       &indices,
                       {*width, j},
                       node.input(0)->type.shape.at(axis),
                       static_cast<int64_t>(axis)});
  }
}

std::vector<Lookup> lookups_of(const Graph &region) {
  std::vector<Lookup> lookups;
  for (const auto &node : region.nodes()) {
    switch (node->op) {
      case Op::Gather:
      case Op::GatherElements:
      case Op::ScatterElements: {
        const Shape &shape = node->input(0)->type.shape;
        int64_t axis = node->attributes.integer_or("axis", 0);
        axis += axis < 0 ? static_cast<int64_t>(shape.size()) : 0;
        lookups.push_back(
            {node.get(), node->input(1), {}, shape.at(static_cast<size_t>(axis)), axis});
        break;
      }
      case Op::GatherND:
        add_tuple(*node, static_cast<size_t>(node->attributes.integer_or("batch_dims", 0)),
                  lookups);
        break;
      case Op::ScatterND:
        add_tuple(*node, 0, lookups);
        break;
      default:
        for (const auto &nested : node->regions) {
          const std::vector<Lookup> inner = lookups_of(*nested);
          SYLVITE_CHECK(inner.empty(), "lookup inside " + describe(*node));
        }
    }
  }
  return lookups;
}

bool last_axis_is(const Value &value, int64_t width) {
  return !value.type.shape.empty() && value.type.shape.back().is(width);
}

// A view that leaves every tuple along the last axis whole.
bool keeps_tuples(const Node &node, int64_t width) {
  if (!last_axis_is(*node.input(0), width) || !last_axis_is(*node.output(), width)) {
    return false;
  }
  if (node.op == Op::Transpose) {
    const std::vector<int64_t> &perm = node.attributes.integers("perm");
    return perm.back() == static_cast<int64_t>(perm.size()) - 1;
  }
  if (node.op == Op::Slice) {
    return node.attributes.integers("steps").back() == 1;
  }
  return node.op == Op::Reshape || node.op == Op::Expand || node.op == Op::Cast;
}

// A cast whose result is in range whenever its operand is.
bool harmless_cast(const Node &node) {
  const DType from = node.input(0)->type.dtype, to = node.attributes.dtype("to");
  return is_integer(from) && is_integer(to) && (is_signed(to) || !is_signed(from));
}

class CheckAdder {
 public:
  CheckAdder(const Node &kernel, int call, const BufferNumbers &numbers, Plan &plan)
      : kernel_(kernel), call_(call), numbers_(numbers), plan_(plan) {}

  void add(const Lookup &lookup) {
    lookup_ = &lookup;
    follow(*lookup.indices, lookup.component);
  }

 private:
  void follow(const Value &value, Component component) {
    const std::optional<ValueRange> range = range_of(value, {&kernel_});
    if (range && proved_in_range(*range, lookup_->bound, plan_.symbols)) {
      return;
    }
    if (value.producer == nullptr) {
      check_input(value, component);
      return;
    }
    const Node &node = *value.producer;
    if (node.op == Op::Cast && !harmless_cast(node)) {
      give_up(node);
    }
    if (node.op == Op::Concat) {
      follow_concat(node, component);
      return;
    }
    const bool view = node.op == Op::Reshape || node.op == Op::Transpose || node.op == Op::Expand ||
                      node.op == Op::Slice || node.op == Op::Cast;
    if (component.width == 1 ? view : keeps_tuples(node, component.width)) {
      follow(*node.input(0), component);
      return;
    }
    give_up(node);
  }

  void follow_concat(const Node &node, Component component) {
    const int64_t rank = node.output()->type.rank();
    int64_t axis = node.attributes.integer("axis");
    axis += axis < 0 ? rank : 0;
    if (component.width == 1 || axis != rank - 1) {
      for (const Value *part : node.inputs) {
        follow(*part, component);
      }
      return;
    }
    int64_t begin = 0;  // the part of the tuple that holds component j
    for (const Value *part : node.inputs) {
      const std::optional<int64_t> width = part->type.shape.back().constant();
      SYLVITE_CHECK(width.has_value(), describe(node));
      if (component.j < begin + *width) {
        follow(*part, {*width, component.j - begin});
        return;
      }
      begin += *width;
    }
  }

  void check_input(const Value &region_input, Component component) {
    const Value &read = *kernel_.input(static_cast<size_t>(region_input.index));
    PlanIndexCheck check;
    check.before = call_;
    check.buffer = numbers_.at(&read);
    check.dtype = read.type.dtype;
    check.first = component.j;
    check.step = component.width;
    check.count = element_count(read.type.shape);
    check.bound = lookup_->bound;
    check.message = one_line(reader_label(read)) + ": index {} at {} is out of range for '" +
                    one_line(data_label()) + "' (" + extent_label() + ")";
    SYLVITE_CHECK(is_integer(check.dtype), describe(*lookup_->node));
    const auto covers = [&](const PlanIndexCheck &earlier) {
      return earlier.buffer == check.buffer && earlier.first == check.first &&
             earlier.step == check.step && prove_le(earlier.bound, check.bound, plan_.symbols);
    };
    if (std::none_of(plan_.checks.begin(), plan_.checks.end(), covers)) {
      plan_.checks.push_back(std::move(check));
    }
  }

  // The indices in the user's terms; where the model computes them, with the node that looks them
  // up.
  std::string reader_label(const Value &read) const {
    const std::vector<std::string> &sources = lookup_->node->sources;
    return read.producer == nullptr || sources.empty()
               ? label_of(read)
               : label_of(read) + ", read by node '" + sources.front() + "'";
  }

  // The table in the user's terms: what the kernel reads there, seen through views.
  std::string data_label() const {
    const Value *data = lookup_->node->input(0);
    while (data->producer != nullptr && class_of(data->producer->op) == OpClass::View) {
      data = data->producer->input(0);
    }
    return label_of(data->producer == nullptr ? *kernel_.input(static_cast<size_t>(data->index))
                                              : *data);
  }

  std::string extent_label() const {
    const std::string extent = one_line(lookup_->bound.str());
    return lookup_->axis == 0 ? extent + " rows"
                              : "size " + extent + " at axis " + std::to_string(lookup_->axis);
  }

  [[noreturn]] void give_up(const Node &node) const {
    check_failed("indices are a kernel input", __FILE__, __LINE__,
                 "the indices of " + describe(*lookup_->node) + " are computed by " +
                     describe(node) + " in the same kernel");
  }

  const Node &kernel_;
  int call_;
  const BufferNumbers &numbers_;
  Plan &plan_;
  const Lookup *lookup_ = nullptr;
};

}  // namespace

void add_index_checks(const Node &kernel, int call, const BufferNumbers &numbers, Plan &plan) {
  CheckAdder adder(kernel, call, numbers, plan);
  for (const Lookup &lookup : lookups_of(*kernel.regions[0])) {
    adder.add(lookup);
  }
}

}  // namespace sylvite
