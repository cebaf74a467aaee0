// A plan by hand, with the kernels of sample_kernels.c, and a runtime that only writes down what it
// is asked.
#pragma once

#include <string>
#include <vector>

#include "compiler/codegen/compile.h"
#include "compiler/codegen/plan.h"
#include "compiler/link/link.h"

namespace sylvite {

// doubled f32[batch, length, 4] = 2 * table[ids] + mask, copy = ids
//   ids i64[batch, length], mask f32[batch, length, 4], table f32[10, 4]
Plan sample_plan();
ProgramInfo sample_info();

// The plan's objects and those of the sample kernels.
std::vector<std::vector<char>> sample_objects(Plan &plan, const WeightImage &image,
                                              const ProgramInfo &info);

std::vector<std::vector<char>> with_sample_kernels(std::vector<std::vector<char>> objects);

// Loads a plan whose kernels are all in sample_kernels.c.
struct LoadedPlan {
  explicit LoadedPlan(Plan plan_in, const ProgramInfo &info = sample_info());
  const sylvite_program &program() const { return *loaded->program(); }

  Plan plan;
  WeightImage image;
  std::unique_ptr<LoadedProgram> loaded;
};

// Stands in for the runtime: writes every request as a line; stops at the call number `fail_at`.
struct Recorder {
  std::vector<std::string> lines;
  int fail_at = -1;
  int truths = 0;  // how many of the conditions that are asked for are true, before one is not
  const sylvite_runtime_api *api() const;
  sylvite_context *context() { return reinterpret_cast<sylvite_context *>(this); }
};

// What prepare answers.
struct Prepared {
  int32_t status = 0;
  std::string message;
  std::vector<int64_t> symbols, intermediate_bytes, output_dims;
};
Prepared prepare(const sylvite_program &program, const std::vector<int64_t> &dims);

}  // namespace sylvite
