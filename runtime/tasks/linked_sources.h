// What step knows of the sources: the tensors of encode that it reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/abi.h"
#include "runtime/include/sylvite/sylvite.h"
#include "runtime/io/result.h"
#include "runtime/memory.h"
#include "runtime/tasks/translate_task.h"

namespace sylvite {

class LinkedSources {
 public:
  // The task must outlive it.
  explicit LinkedSources(const TranslateTask &task);

  // After a run of encode: its inputs and outputs, which stay where they are, and the rows of its
  // batch.
  void begin(std::span<const sylvite_tensor> inputs, std::span<const sylvite_tensor> outputs,
             int64_t encoded);
  // Room for so many rows of step.
  Error reserve(int64_t rows);
  // The sizes of step's inputs that come from encode, for so many rows.
  void shape(int64_t rows, std::vector<sylvite_tensor> *step_inputs) const;
  // Their data. sources: of the rows; rows that are too many repeat the first one.
  Error fill(int64_t rows, const std::vector<int32_t> &sources,
             std::vector<sylvite_tensor> *step_inputs);

 private:
  const sylvite_tensor &tensor(const sylvite_link &link) const;
  int32_t source_axis(const sylvite_link &link) const;

  const TranslateTask &task_;
  std::vector<int32_t> axes_;  // of each link: the batch's, or -1
  std::span<const sylvite_tensor> inputs_, outputs_;
  int64_t encoded_ = 0;
  std::vector<int32_t> gathered_;  // the sources that `picked_` has
  std::vector<Block> picked_;      // the rows of each link
};

}  // namespace sylvite
