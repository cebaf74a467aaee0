// Load and Store look their buffer's name up in the code generator's symbol table, as for an input
// buffer; a handle bound by a let under that name is therefore enough to give an allocation other
// memory, or an output another origin.
#include "compiler/kernels/lowering.h"

#include <string>
#include <utility>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::UInt;
using Halide::Internal::LetStmt;
using Halide::Internal::Stmt;
using Halide::Internal::Variable;

constexpr const char *kScratchBase = "sylvite_scratch";
constexpr int64_t kStackLimit = 16384;  // Halide's own limit for allocations of constant size

Expr bytes_constant(int64_t value) {
  return Halide::Internal::make_const(UInt(64), value);
}

Expr address_of(const Expr &handle) {
  return Halide::reinterpret(UInt(64), handle);
}

Expr handle_of(const Expr &address) {
  return Halide::reinterpret(Halide::Handle(), address);
}

}  // namespace

Stmt ScratchPass::mutate(const Stmt &statement) {
  if (inside_) {
    return IRMutator::mutate(statement);
  }
  inside_ = true;
  Stmt result = IRMutator::mutate(statement);
  inside_ = false;
  if (!replaced_.empty()) {
    const Expr buffer = Variable::make(Halide::type_of<struct halide_buffer_t *>(),
                                       scratch_->name() + ".buffer", scratch_->parameter());
    const Expr host =
        Halide::Internal::Call::make(Halide::Handle(), Halide::Internal::Call::buffer_get_host,
                                     {buffer}, Halide::Internal::Call::Extern);
    result = LetStmt::make(kScratchBase, address_of(host), result);
  }
  return result;
}

Stmt ScratchPass::visit(const Halide::Internal::Allocate *op) {
  using Halide::MemoryType;
  int64_t constant_bytes = op->type.bytes();
  Expr size = bytes_constant(op->type.bytes());
  bool constant = true;
  for (const Expr &extent : op->extents) {
    size = size * Halide::cast<uint64_t>(extent);
    if (const auto value = Halide::Internal::as_const_int(extent)) {
      constant_bytes *= *value;
    } else {
      constant = false;
    }
  }
  if (op->memory_type == MemoryType::Stack || op->memory_type == MemoryType::Register) {
    SYLVITE_CHECK(constant, "the size of " + op->name + " on the stack is not constant");
    return IRMutator::visit(op);
  }
  if (op->memory_type == MemoryType::Auto && constant && constant_bytes <= kStackLimit) {
    return IRMutator::visit(op);
  }
  SYLVITE_CHECK(scratch_.has_value(), op->name + " needs scratch that the interface does not name");
  const Expr padded = Halide::Internal::simplify(
      (size + bytes_constant(int64_t{op->padding} * op->type.bytes() + 63)) / bytes_constant(64) *
      bytes_constant(64));
  const Expr base = Variable::make(UInt(64), tops_.empty() ? kScratchBase : tops_.back());
  const std::string top = "sylvite_top." + std::to_string(count_++);
  replaced_.insert(op->name);
  Expr in_use = padded;
  for (const Expr &outer : sizes_) {
    in_use = in_use + outer;
  }
  bytes_in_use.push_back(over_parameters(in_use));
  tops_.push_back(top);
  sizes_.push_back(padded);
  Stmt body = mutate(op->body);
  tops_.pop_back();
  sizes_.pop_back();
  body = LetStmt::make(top, base + padded, body);
  return LetStmt::make(op->name, handle_of(base), body);
}

Stmt ScratchPass::visit(const LetStmt *op) {
  lets_.emplace_back(op->name, op->value);
  Stmt result = IRMutator::visit(op);
  lets_.pop_back();
  return result;
}

Expr ScratchPass::over_parameters(Expr e) const {
  for (size_t i = lets_.size(); i-- > 0;) {
    if (Halide::Internal::expr_uses_var(e, lets_[i].first)) {
      e = Halide::Internal::substitute(lets_[i].first, lets_[i].second, e);
    }
  }
  return e;
}

Stmt ScratchPass::visit(const Halide::Internal::Free *op) {
  return replaced_.count(op->name) != 0 ? Halide::Internal::Evaluate::make(0) : Stmt(op);
}

Stmt OutputPass::visit(const LetStmt *op) {
  const auto stride = strides.find(op->name);
  if (stride != strides.end()) {
    return LetStmt::make(op->name, stride->second, mutate(op->body));
  }
  const auto output = outputs.find(op->name);
  const auto *call = op->value.as<Halide::Internal::Call>();
  if (output == outputs.end() || call == nullptr ||
      call->name != Halide::Internal::Call::buffer_get_host) {
    return IRMutator::visit(op);
  }
  const Expr bytes =
      Halide::cast<uint64_t>(output->second.offset) * bytes_constant(output->second.bytes);
  return LetStmt::make(op->name, handle_of(address_of(op->value) + bytes), mutate(op->body));
}

Stmt OutputPass::visit(const Halide::Internal::For *op) {
  Stmt result = IRMutator::visit(op);
  if (loop.empty() || op->name != loop) {
    return result;
  }
  const auto *mutated = result.as<Halide::Internal::For>();
  Stmt body = mutated->body;
  const Expr offset = Halide::Internal::substitute(
      loop_variable, Variable::make(Halide::Int(32), op->name), loop_offset);
  const Expr step = Halide::cast<uint64_t>(offset);
  for (const auto &[name, output] : outputs) {
    const Expr base = address_of(Variable::make(Halide::Handle(), name));
    body = LetStmt::make(name, handle_of(base + step * bytes_constant(output.bytes)), body);
  }
  return Halide::Internal::For::make(mutated->name, mutated->min, mutated->extent,
                                     mutated->for_type, mutated->partition_policy,
                                     mutated->device_api, body);
}

}  // namespace sylvite
