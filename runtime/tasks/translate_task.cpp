// The compiler wrote the descriptor, so what is wrong with it is a mistake of ours; a check here is
// one line instead of a crash.
#include "runtime/tasks/translate_task.h"

#include <algorithm>
#include <string_view>

#include "runtime/dim_text.h"
#include "runtime/dtype.h"

namespace sylvite {
namespace {

Error damaged(std::string_view what) {
  return {SYLVITE_INTERNAL, text_of("the model's translate task is damaged: ", what)};
}

bool is_index(int32_t dtype) {
  return dtype == SYL_I32 || dtype == SYL_I64;
}

const sylvite_tensor_info *input_of(const sylvite_program &program, int32_t i) {
  return i >= 0 && i < program.input_count ? &program.inputs[i] : nullptr;
}

bool is_tensor(const sylvite_tensor_info *info, int32_t rank) {
  return info != nullptr && info->rank == rank;
}

Error check_encode(const TranslateTask &task) {
  const sylvite_program &encode = *task.encode;
  const sylvite_tensor_info *const tokens = input_of(encode, task.task->source_tokens);
  if (!is_tensor(tokens, 2) || !is_index(tokens->dtype)) {
    return damaged("the source's tokens");
  }
  const int32_t mask = task.task->source_mask;
  if (mask >= 0 && !is_tensor(input_of(encode, mask), 2)) {
    return damaged("the source's mask");
  }
  return encode.input_count == (mask >= 0 ? 2 : 1) ? Error{} : damaged("inputs of encode");
}

// Every input of step has one meaning.
Error check_step_inputs(const TranslateTask &task) {
  const sylvite_translate_task &t = *task.task;
  std::vector<int32_t> inputs = {t.step_tokens};
  for (const int32_t input : {t.step_mask, t.rows, t.past, t.table, t.position}) {
    if (input >= 0) {
      inputs.push_back(input);
    }
  }
  inputs.insert(inputs.end(), t.caches, t.caches + t.cache_count);
  for (const sylvite_link &link : task.links()) {
    inputs.push_back(link.input);
    if (link.output >= task.encode->output_count || link.output < -task.encode->input_count) {
      return damaged("a link from encode");
    }
  }
  std::sort(inputs.begin(), inputs.end());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] != static_cast<int32_t>(i)) {
      return damaged("inputs of step");
    }
  }
  return static_cast<int32_t>(inputs.size()) == task.step->input_count ? Error{}
                                                                       : damaged("inputs of step");
}

Error check_step(const TranslateTask &task) {
  const sylvite_translate_task &t = *task.task;
  const sylvite_program &step = *task.step;
  const sylvite_tensor_info *const tokens = input_of(step, t.step_tokens);
  if (!is_tensor(tokens, 2) || !is_index(tokens->dtype)) {
    return damaged("the target's tokens");
  }
  if (t.step_mask >= 0 && !is_tensor(input_of(step, t.step_mask), 2)) {
    return damaged("the target's mask");
  }
  if (t.rows >= 0 &&
      (!is_tensor(input_of(step, t.rows), 1) || step.inputs[t.rows].dtype != SYL_I32)) {
    return damaged("the rows");
  }
  if (t.position >= 0 && (!is_tensor(input_of(step, t.position), 1) ||
                          step.inputs[t.position].dtype != SYL_I32 || t.fixed_target == 0)) {
    return damaged("the position");
  }
  if ((t.past >= 0) != (t.table >= 0) || (t.cache_count > 0 && t.past < 0)) {
    return damaged("the caches");
  }
  if (t.past >= 0 &&
      (!is_tensor(input_of(step, t.past), 1) || !is_tensor(input_of(step, t.table), 2) ||
       step.inputs[t.table].dtype != SYL_I32 || t.fixed_target > 0)) {
    return damaged("the caches");
  }
  if (t.scores < 0 || t.scores >= step.output_count || step.outputs[t.scores].dtype != SYL_F32 ||
      (step.outputs[t.scores].rank != 2 && step.outputs[t.scores].rank != 3)) {
    return damaged("the scores");
  }
  if (t.fixed_target > 0 && t.position < 0 && step.outputs[t.scores].rank == 2) {
    return damaged("the scores");  // of the padding's last position
  }
  return t.start >= 0 && t.max_length > 0 && t.beams > 0 ? Error{} : damaged("its defaults");
}

Error read_caches(TranslateTask *task) {
  for (int32_t i = 0; i < task->task->cache_count; ++i) {
    const sylvite_tensor_info &info = task->step->inputs[task->task->caches[i]];
    const int64_t heads = info.rank == 4 ? fixed_size(info.dims[1]) : 0;
    const int64_t size = info.rank == 4 ? fixed_size(info.dims[3]) : 0;
    if (heads == 0 || size == 0 || fixed_size(info.dims[2]) != kSylviteCacheBlock) {
      return damaged("a cache's shape");
    }
    task->caches.push_back({heads, size * dtype_size(static_cast<sylvite_dtype>(info.dtype))});
  }
  return {};
}

}  // namespace

Result<TranslateTask> read_translate_task(const sylvite_program &program) {
  TranslateTask task;
  task.task = program.translate;
  task.encode = &program;
  if (task.task == nullptr) {
    return bad_input("the model was not compiled as a translator");
  }
  if (program.entry_count < 1 || program.entries[0] == nullptr) {
    return damaged("it has no step");
  }
  task.step = program.entries[0];
  for (Error error : {check_encode(task), check_step(task), check_step_inputs(task)}) {
    if (!error.ok()) {
      return error;
    }
  }
  if (Error error = read_caches(&task); !error.ok()) {
    return error;
  }
  const sylvite_tensor_info &scores = task.step->outputs[task.task->scores];
  task.vocabulary = static_cast<int32_t>(fixed_size(scores.dims[scores.rank - 1]));
  if (task.vocabulary < 1 || task.task->start >= task.vocabulary) {
    return damaged("the vocabulary's size");
  }
  task.encode_batch = fixed_size(task.encode->inputs[task.task->source_tokens].dims[0]);
  task.step_batch = fixed_size(task.step->inputs[task.task->step_tokens].dims[0]);
  if (task.step_batch > 1 && task.has_caches()) {
    return damaged("caches with a frozen batch");
  }
  return task;
}

}  // namespace sylvite
