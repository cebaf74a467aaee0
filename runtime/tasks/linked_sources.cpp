// Where step has no input `rows`, row i of what comes from encode belongs to row i of the batch, so
// it is gathered whenever the rows' sources change. Which axis the batch is, its name tells; what
// the name is not in is the same for all sources. An axis that mixes the batch with something else
// was refused at compile time.
#include "runtime/tasks/linked_sources.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <numeric>
#include <string_view>

#include "runtime/dtype.h"

namespace sylvite {
namespace {

int64_t product(std::span<const int64_t> dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

LinkedSources::LinkedSources(const TranslateTask &task)
    : task_(task), axes_(task.links().size()), picked_(task.links().size()) {
  std::transform(task.links().begin(), task.links().end(), axes_.begin(),
                 [&](const sylvite_link &link) { return source_axis(link); });
}

void LinkedSources::begin(std::span<const sylvite_tensor> inputs,
                          std::span<const sylvite_tensor> outputs, int64_t encoded) {
  inputs_ = inputs;
  outputs_ = outputs;
  encoded_ = encoded;
  gathered_.clear();
}

const sylvite_tensor &LinkedSources::tensor(const sylvite_link &link) const {
  return link.output >= 0 ? outputs_[static_cast<size_t>(link.output)]
                          : inputs_[static_cast<size_t>(-1 - link.output)];
}

// The axis of what comes from encode that is the batch, by its name; -1: none, it is the same for
// all sources.
int32_t LinkedSources::source_axis(const sylvite_link &link) const {
  const sylvite_program &encode = *task_.encode;
  const sylvite_tensor_info &info =
      link.output >= 0 ? encode.outputs[link.output] : encode.inputs[-1 - link.output];
  const std::string_view batch = encode.inputs[task_.task->source_tokens].dims[0];
  for (int32_t axis = 0; axis < info.rank; ++axis) {
    if (info.dims[axis] == batch) {
      return axis;
    }
  }
  return -1;
}

void LinkedSources::shape(int64_t rows, std::vector<sylvite_tensor> *step_inputs) const {
  for (size_t i = 0; i < axes_.size(); ++i) {
    const sylvite_link &link = task_.links()[i];
    const sylvite_tensor &from = tensor(link);
    sylvite_tensor &to = (*step_inputs)[static_cast<size_t>(link.input)];
    to.rank = from.rank;
    to.dtype = from.dtype;
    std::copy_n(from.dims, from.rank, to.dims);
    if (task_.task->rows < 0 && axes_[i] >= 0) {
      to.dims[axes_[i]] = rows;
    }
  }
}

// Room for that many rows of what comes from encode. Where it is not enough, nothing stays.
Error LinkedSources::reserve(int64_t rows) {
  gathered_.reserve(static_cast<size_t>(rows));
  for (size_t i = 0; i < axes_.size() && task_.task->rows < 0; ++i) {
    const sylvite_tensor &from = tensor(task_.links()[i]);
    const int64_t bytes = product({from.dims, static_cast<size_t>(from.rank)}) *
                          dtype_size(from.dtype) / encoded_ * rows;
    if (!picked_[i].reserve(bytes)) {
      return {SYLVITE_OUT_OF_MEMORY, "out of memory: the encoded sources of each row"};
    }
  }
  return {};
}

// Without `rows`: what comes from encode, with as many rows as the batch, each of its source.
Error LinkedSources::fill(int64_t rows, const std::vector<int32_t> &sources,
                          std::vector<sylvite_tensor> *step_inputs) {
  const auto source_of = [&](int64_t row) {
    return int64_t{sources[static_cast<size_t>(row) < sources.size() ? row : 0]};
  };
  bool all = rows == encoded_ || task_.task->rows >= 0;
  for (int64_t row = 0; row < rows && all && task_.task->rows < 0; ++row) {
    all = source_of(row) == row;
  }
  const bool same = gathered_ == sources;
  if (Error error = all ? Error{} : reserve(rows); !error.ok()) {
    return error;
  }
  for (size_t i = 0; i < axes_.size(); ++i) {
    const sylvite_link &link = task_.links()[i];
    const sylvite_tensor &from = tensor(link);
    sylvite_tensor &to = (*step_inputs)[static_cast<size_t>(link.input)];
    if (all || axes_[i] < 0) {
      to.data = from.data;
      continue;
    }
    const Block &block = picked_[i];
    const size_t axis = static_cast<size_t>(axes_[i]);
    const std::span<const int64_t> dims(from.dims, static_cast<size_t>(from.rank));
    const int64_t outer = product(dims.first(axis));
    const int64_t inner = product(dims.subspan(axis + 1)) * dtype_size(from.dtype);
    if (dims[axis] != encoded_) {
      return {SYLVITE_INTERNAL, "what comes from encode has no row for each source"};
    }
    for (int64_t j = 0; j < outer * rows && !same; ++j) {
      const int64_t place = j / rows * encoded_ + source_of(j % rows);
      std::memcpy(block.data() + j * inner, static_cast<std::byte *>(from.data) + place * inner,
                  static_cast<size_t>(inner));
    }
    to.data = block.data();
  }
  if (!all && !same) {
    gathered_ = sources;
  }
  return {};
}

}  // namespace sylvite
