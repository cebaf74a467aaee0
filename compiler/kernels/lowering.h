// Our own passes over Halide's lowered statements: memory from the plan instead of halide_malloc,
// and outputs that are not cropped.
#pragma once

#include <Halide.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sylvite {

// Replaces each heap allocation by a piece of the scratch argument. Nested allocations stack up,
// siblings share. An allocation that would still reach halide_malloc is an internal error.
class ScratchPass : public Halide::Internal::IRMutator {
 public:
  // Without scratch (nullopt) any heap allocation is an error.
  explicit ScratchPass(std::optional<Halide::ImageParam> scratch) : scratch_(std::move(scratch)) {}
  using IRMutator::mutate;
  Halide::Internal::Stmt mutate(const Halide::Internal::Stmt &statement) override;

  // Bytes in use up to the end of each allocation, over the kernel's parameters. Where a size
  // depends on a loop, that loop's variable is left in it.
  std::vector<Halide::Expr> bytes_in_use;

 private:
  using IRMutator::visit;
  Halide::Internal::Stmt visit(const Halide::Internal::Allocate *op) override;
  Halide::Internal::Stmt visit(const Halide::Internal::Free *op) override;
  Halide::Internal::Stmt visit(const Halide::Internal::LetStmt *op) override;
  Halide::Expr over_parameters(Halide::Expr e) const;

  std::optional<Halide::ImageParam> scratch_;
  std::vector<std::string> tops_;  // names of the first free address, innermost last
  std::vector<Halide::Expr> sizes_;
  std::vector<std::pair<std::string, Halide::Expr>> lets_;
  std::set<std::string> replaced_;
  int count_ = 0;
  bool inside_ = false;
};

// Moves output pointers: by a fixed number of elements, and by a function of one loop's variable.
class OutputPass : public Halide::Internal::IRMutator {
 public:
  struct Output {
    Halide::Expr offset;  // elements
    int bytes = 0;        // of an element
  };
  std::map<std::string, Output> outputs;  // by the name of the buffer
  // By the name of the variable (out0.stride.1): Halide takes a stride that is set only when it is
  // a constant or one parameter, and else reads it from the buffer, where ours has none.
  std::map<std::string, Halide::Expr> strides;
  std::string loop;           // name of the loop that steps irregularly, or empty
  std::string loop_variable;  // what its variable is called in `loop_offset`
  Halide::Expr loop_offset;

 private:
  using IRMutator::visit;
  Halide::Internal::Stmt visit(const Halide::Internal::LetStmt *op) override;
  Halide::Internal::Stmt visit(const Halide::Internal::For *op) override;
};

}  // namespace sylvite
