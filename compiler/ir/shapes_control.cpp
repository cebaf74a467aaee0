// Shape rules of control flow.
//
// A loop's body is written for one iteration, whose number is a symbol of its own. The types of the
// carried values are functions of it: a sequence that grows by one each time is [batch, 1 + i]. So
// a body's type is checked once: with i = 0 it must be what the loop begins with, its result must
// be what i + 1 begins with, and the loop's result is the type at the number of iterations.
#include <map>

#include "compiler/ir/control.h"
#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

using Types = std::vector<TensorType>;

TensorType at(const TensorType &type, const std::string &symbol, const Dim &value) {
  TensorType result = type;
  for (Dim &dim : result.shape) {
    dim = substitute(dim, {{symbol, value}});
  }
  return result;
}

void same_type(Inference &inference, const TensorType &a, const TensorType &b,
               const std::string &what) {
  inference.require(a.dtype == b.dtype, what, " must be equal, but are ", to_string(a), " and ",
                    to_string(b));
  inference.same_shape(a.shape, b.shape, what);
}

// One boolean, whatever its rank.
void require_condition(const Inference &inference, const TensorType &type, const char *what) {
  inference.require(type.dtype == DType::Bool && element_count(type.shape).is(1), what,
                    " must be one bool, is ", to_string(type));
}

void require_inputs(const Inference &inference, const Graph &region, size_t expected) {
  inference.require(region.inputs().size() == expected, "its region takes ", region.inputs().size(),
                    " inputs, expected ", expected);
}

void require_symbol(const Inference &inference, const std::string &name) {
  const SymbolInfo *info = inference.symbols().find(name);
  inference.require(info != nullptr && info->kind == SymbolKind::Data && info->lower >= 0, "'",
                    name, "' must be declared as data of at least 0");
}

bool mentions_symbol(const TensorType &type, const std::string &symbol) {
  for (const Dim &dim : type.shape) {
    if (mentions(dim, symbol)) {
      return true;
    }
  }
  return false;
}

std::string nth(const char *what, size_t i) {
  return what + std::to_string(i);
}

}  // namespace

Types infer_if(Inference &inference) {
  const std::vector<std::unique_ptr<Graph>> &regions = inference.node().regions;
  require_condition(inference, inference.type(0), "its condition");
  inference.require(regions.size() == 2, "expected two regions, got ", regions.size());
  for (const std::unique_ptr<Graph> &region : regions) {
    require_inputs(inference, *region, inference.input_count() - 1);
    for (size_t i = 1; i < inference.input_count(); ++i) {
      same_type(inference, inference.type(i), region->inputs()[i - 1]->type,
                nth("what is given to and taken by its region as input ", i - 1));
    }
  }
  const Graph &first = *regions[0], &second = *regions[1];
  inference.require(first.output_count() >= 1 && first.output_count() == second.output_count(),
                    "its branches give ", first.output_count(), " and ", second.output_count(),
                    " outputs");
  const bool varies = inference.attributes().has("sizes");
  size_t next = 0;  // of `sizes`
  std::map<std::string, std::pair<Dim, Dim>> stands_for;
  Types types;
  for (size_t i = 0; i < first.output_count(); ++i) {
    const TensorType &a = first.output(i)->type, &b = second.output(i)->type;
    if (!varies) {
      same_type(inference, a, b, nth("the types that its branches give to output ", i));
      types.push_back(first.output(i)->type);
      continue;
    }
    const std::vector<Dim> &sizes = inference.attributes().dims("sizes");
    inference.require(
        a.dtype == b.dtype && a.rank() == b.rank() && next + a.shape.size() <= sizes.size(),
        "its branches give ", to_string(a), " and ", to_string(b), " to output ", i);
    types.push_back({a.dtype, {}});
    for (size_t axis = 0; axis < a.shape.size(); ++axis) {
      const Dim &size = sizes[next++];
      types.back().shape.push_back(size);
      if (!prove_equal(size, a.shape[axis], inference.symbols()) ||
          !prove_equal(size, b.shape[axis], inference.symbols())) {
        inference.require(size.as_symbol().has_value(), "output ", i, " has the size ", size.str(),
                          " on axis ", axis, ", which its branches do not give it");
        require_symbol(inference, *size.as_symbol());
        const auto &[x, y] =
            stands_for.try_emplace(*size.as_symbol(), a.shape[axis], b.shape[axis]).first->second;
        inference.require(prove_equal(x, a.shape[axis], inference.symbols()) &&
                              prove_equal(y, b.shape[axis], inference.symbols()),
                          "'", size.str(), "' stands for several sizes");
      }
    }
  }
  inference.require(!varies || next == inference.attributes().dims("sizes").size(),
                    "has more sizes than its results have axes");
  return types;
}

Types infer_loop(Inference &inference) {
  const Node &node = inference.node();
  inference.require(node.regions.size() == 1, "expected one region, got ", node.regions.size());
  const Graph &body = *node.regions[0];
  inference.require(inference.attributes().dims("trip").size() == 1,
                    "attribute 'trip' must be one size");
  const int64_t carried = inference.attributes().integer("carried");
  const size_t conditions = inference.attributes().has("made") ? 1 : 0;
  inference.require(carried >= 0 &&
                        inference.input_count() >= conditions + static_cast<size_t>(carried) &&
                        body.output_count() >= conditions + static_cast<size_t>(carried) &&
                        body.output_count() > conditions,
                    "carries ", carried, " values, takes ", inference.input_count(),
                    " and its region gives ", body.output_count());
  const LoopParts parts(node);
  require_symbol(inference, parts.iteration);
  if (parts.may_stop) {
    require_symbol(inference, parts.made);
    require_condition(inference, inference.type(0), "its condition");
    require_condition(inference, body.output(body.output_count() - 1)->type,
                      "its region's condition");
  }
  require_inputs(inference, body, inference.input_count() - conditions);
  const Dim next = Dim::symbol(parts.iteration) + 1;
  for (size_t i = 0; i < body.inputs().size(); ++i) {
    same_type(inference, inference.type(i + conditions),
              at(body.inputs()[i]->type, parts.iteration, 0),
              nth("what is given to and taken by its region at first as input ", i));
    inference.require(
        i < parts.carried || !mentions_symbol(body.inputs()[i]->type, parts.iteration), "input ", i,
        " of its region varies, but is not carried");
    if (i < parts.carried) {
      same_type(inference, body.output(i)->type, at(body.inputs()[i]->type, parts.iteration, next),
                nth("what its region gives to and takes from the next iteration as input ", i));
    }
  }
  Types types;
  for (size_t i = 0; i < parts.carried + parts.collected; ++i) {
    if (i < parts.carried) {
      types.push_back(at(body.inputs()[i]->type, parts.iteration, parts.count()));
      continue;
    }
    const TensorType &each = body.output(i)->type;
    inference.require(!mentions_symbol(each, parts.iteration), "output ", i,
                      " of its region is stacked, but varies in size: ", to_string(each));
    types.push_back(each);
    types.back().shape.insert(types.back().shape.begin(), parts.count());
  }
  return types;
}

}  // namespace sylvite
