// prepare, run and costs of a plan as LLVM functions.
//
// They are straight lines of 64-bit arithmetic on the symbols, with an early return for each thing
// that can be wrong, so a value that was computed once serves all later uses. prepare does every
// check: its arithmetic notices overflow, and sizes that it lets pass fit 32 bits. run repeats the
// arithmetic without looking. Texts of errors are constants with {} where the runtime puts numbers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "compiler/codegen/llvm_parts.h"
#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "runtime/abi.h"

namespace sylvite {
namespace {

constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();

// A number and whether computing it overflowed (null: it cannot have).
struct Number {
  llvm::Value *value = nullptr;
  llvm::Value *overflow = nullptr;
};

// Dims as i64 arithmetic.
class DimWriter {
 public:
  DimWriter(llvm::IRBuilder<> &builder, bool checked) : builder_(builder), checked_(checked) {}

  void bind(const std::string &symbol, llvm::Value *value) { symbols_[symbol] = value; }

  // What is computed or bound from here on is known up to the matching leave(): in a loop's body or
  // a branch, which do not always run.
  void enter() { outer_.emplace_back(symbols_, done_); }
  void leave() {
    std::tie(symbols_, done_) = std::move(outer_.back());
    outer_.pop_back();
  }

  Number number(const Dim &dim) {
    const auto found = done_.find(dim);
    if (found != done_.end()) {
      return found->second;
    }
    Number sum{constant(0), nullptr};
    for (const DimTerm &term : dim.terms()) {
      sum = add(sum, product(term));
    }
    return done_[dim] = sum;
  }

  llvm::Value *value(const Dim &dim) { return number(dim).value; }

  // INT64_MAX where the arithmetic overflows.
  llvm::Value *saturated(const Dim &dim) {
    const Number exact = number(dim);
    return exact.overflow == nullptr
               ? exact.value
               : builder_.CreateSelect(exact.overflow,
                                       constant(std::numeric_limits<int64_t>::max()), exact.value);
  }

  llvm::ConstantInt *constant(int64_t number) {
    return builder_.getInt64(static_cast<uint64_t>(number));
  }

  llvm::Value *either(llvm::Value *a, llvm::Value *b) {
    return a == nullptr ? b : b == nullptr ? a : builder_.CreateOr(a, b);
  }

  Number add(const Number &a, const Number &b) {
    return is_number(a, 0)   ? b
           : is_number(b, 0) ? a
                             : checked(llvm::Intrinsic::sadd_with_overflow, a, b);
  }
  Number subtract(const Number &a, const Number &b) {
    return is_number(b, 0) ? a : checked(llvm::Intrinsic::ssub_with_overflow, a, b);
  }
  Number multiply(const Number &a, const Number &b) {
    return is_number(a, 1)   ? b
           : is_number(b, 1) ? a
                             : checked(llvm::Intrinsic::smul_with_overflow, a, b);
  }

 private:
  static bool is_number(const Number &number, uint64_t expected) {
    const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(number.value);
    return constant != nullptr && constant->equalsInt(expected);
  }

  Number checked(llvm::Intrinsic::ID operation, const Number &a, const Number &b) {
    if (!checked_) {
      return {
          operation == llvm::Intrinsic::sadd_with_overflow   ? builder_.CreateAdd(a.value, b.value)
          : operation == llvm::Intrinsic::ssub_with_overflow ? builder_.CreateSub(a.value, b.value)
                                                             : builder_.CreateMul(a.value, b.value),
          nullptr};
    }
    llvm::Value *both = builder_.CreateBinaryIntrinsic(operation, a.value, b.value);
    llvm::Value *overflow = builder_.CreateExtractValue(both, 1);
    return {builder_.CreateExtractValue(both, 0), either(overflow, either(a.overflow, b.overflow))};
  }

  Number product(const DimTerm &term) {
    Number result{constant(term.coefficient), nullptr};
    for (const DimAtom &factor : term.factors) {
      result = multiply(result, atom(factor));
    }
    return result;
  }

  Number atom(const DimAtom &atom) {
    if (atom.kind == AtomKind::Symbol) {
      const auto found = symbols_.find(atom.name);
      SYLVITE_CHECK(found != symbols_.end(), "symbol '" + atom.name + "' is not an input's");
      return {found->second, nullptr};
    }
    const Number a = number(atom.operands.at(0)), b = number(atom.operands.at(1));
    if (atom.kind == AtomKind::FloorDiv) {
      return floor_div(a, b);
    }
    const llvm::Intrinsic::ID operation =
        atom.kind == AtomKind::Min ? llvm::Intrinsic::smin : llvm::Intrinsic::smax;
    return {builder_.CreateBinaryIntrinsic(operation, a.value, b.value),
            either(a.overflow, b.overflow)};
  }

  // Rounds down. Division by zero counts as overflow; so does dividing by -1, which no size does,
  // because one such quotient does not exist.
  Number floor_div(const Number &a, const Number &b) {
    llvm::Value *overflow = either(a.overflow, b.overflow);
    llvm::Value *divisor = b.value;
    if (!llvm::isa<llvm::ConstantInt>(divisor) || is_number(b, 0) || is_number(b, ~uint64_t{0})) {
      llvm::Value *bad =
          builder_.CreateICmpULE(builder_.CreateAdd(divisor, constant(1)), constant(1));
      divisor = builder_.CreateSelect(bad, constant(1), divisor);
      overflow = checked_ ? either(overflow, bad) : nullptr;
    }
    llvm::Value *quotient = builder_.CreateSDiv(a.value, divisor);
    llvm::Value *rest = builder_.CreateSRem(a.value, divisor);
    llvm::Value *inexact = builder_.CreateICmpNE(rest, constant(0));
    llvm::Value *opposite = builder_.CreateICmpSLT(builder_.CreateXor(rest, divisor), constant(0));
    llvm::Value *down =
        builder_.CreateZExt(builder_.CreateAnd(inexact, opposite), builder_.getInt64Ty());
    return {builder_.CreateSub(quotient, down), overflow};
  }

  llvm::IRBuilder<> &builder_;
  bool checked_;
  std::map<std::string, llvm::Value *> symbols_;
  std::map<Dim, Number> done_;
  std::vector<std::pair<std::map<std::string, llvm::Value *>, std::map<Dim, Number>>> outer_;
};

std::string quoted(const std::string &name) {
  return "'" + one_line(name) + "'";
}

// What the three functions share: context and api as first arguments, calls through the api's
// table.
class FunctionWriter {
 public:
  FunctionWriter(llvm::Module &module, const Plan &plan, const char *name, llvm::FunctionType *type,
                 bool checked)
      : module_(module), plan_(plan), builder_(module.getContext()), dims_(builder_, checked) {
    function_ = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    builder_.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "entry", function_));
  }

  llvm::Function *function() const { return function_; }

 protected:
  llvm::Value *argument(unsigned i) const { return function_->getArg(i); }
  llvm::ConstantInt *int32(int64_t number) {
    return builder_.getInt32(static_cast<uint32_t>(number));
  }

  llvm::Value *element(llvm::Value *array, size_t i) {
    return builder_.CreateConstInBoundsGEP1_64(builder_.getInt64Ty(), array, i);
  }
  llvm::Value *load(llvm::Value *array, size_t i) {
    return builder_.CreateLoad(builder_.getInt64Ty(), element(array, i));
  }
  void store(llvm::Value *value, llvm::Value *array, size_t i) {
    builder_.CreateStore(value, element(array, i));
  }

  // Symbols as the caller of run and costs passes them.
  void bind_symbols(llvm::Value *array) {
    for (size_t i = 0; i < plan_.bindings.size(); ++i) {
      dims_.bind(plan_.bindings[i].symbol, load(array, i));
    }
  }

  llvm::Value *call_api(size_t offset, std::vector<llvm::Value *> arguments) {
    arguments.insert(arguments.begin(), argument(0));
    std::vector<llvm::Type *> types;
    types.reserve(arguments.size());
    for (const llvm::Value *value : arguments) {
      types.push_back(value->getType());
    }
    llvm::Value *entry =
        builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), argument(1), offset);
    llvm::Value *target = builder_.CreateLoad(builder_.getPtrTy(), entry);
    return builder_.CreateCall(llvm::FunctionType::get(builder_.getInt32Ty(), types, false), target,
                               arguments);
  }

  // Returns `status` from the function where it is not 0.
  void return_if_failed(llvm::Value *status) {
    llvm::BasicBlock *failed = new_block("failed"), *next = new_block("next");
    builder_.CreateCondBr(builder_.CreateICmpEQ(status, int32(0)), next, failed);
    builder_.SetInsertPoint(failed);
    builder_.CreateRet(status);
    builder_.SetInsertPoint(next);
  }

  // Fails with the message where `ok` is false; a and b fill its braces.
  void require(llvm::Value *ok, const std::string &message, llvm::Value *a = nullptr,
               llvm::Value *b = nullptr) {
    if (const auto *known = llvm::dyn_cast<llvm::ConstantInt>(ok);
        known != nullptr && known->isOne()) {
      return;
    }
    llvm::BasicBlock *failed = new_block("failed"), *next = new_block("next");
    builder_.CreateCondBr(ok, next, failed);
    builder_.SetInsertPoint(failed);
    llvm::Value *zero = dims_.constant(0);
    builder_.CreateRet(call_api(offsetof(sylvite_runtime_api, fail_sizes),
                                {int32(SYL_BAD_INPUT), text_constant(module_, message),
                                 a == nullptr ? zero : a, b == nullptr ? zero : b}));
    builder_.SetInsertPoint(next);
  }

  llvm::BasicBlock *new_block(const char *name) {
    return llvm::BasicBlock::Create(module_.getContext(), name, function_);
  }

  llvm::Module &module_;
  const Plan &plan_;
  llvm::IRBuilder<> builder_;
  DimWriter dims_;
  llvm::Function *function_ = nullptr;
};

class PrepareWriter : public FunctionWriter {
 public:
  PrepareWriter(llvm::Module &module, const Plan &plan)
      : FunctionWriter(module, plan, "sylvite_prepare", type(module), true) {
    load_sizes();
    for (const PlanSizeCheck &check : plan.size_checks) {  // first: a wrong layout shows here
      if (check.expected.is_constant()) {
        check_size(check);
      }
    }
    for (const PlanBinding &binding : plan.bindings) {
      bind(binding);
    }
    for (const PlanSizeCheck &check : plan.size_checks) {
      if (!check.expected.is_constant()) {
        check_size(check);
      }
    }
    for (const Guard &guard : plan.guards) {
      check_guard(guard);
    }
    check_tensors();
    check_calls();
    // From here on every size is known to fit.
    write_results();
    builder_.CreateRet(int32(SYL_OK));
  }

 private:
  static llvm::FunctionType *type(llvm::Module &module) {
    llvm::LLVMContext &context = module.getContext();
    llvm::Type *pointer = llvm::PointerType::getUnqual(context);
    return llvm::FunctionType::get(llvm::Type::getInt32Ty(context),
                                   {pointer, pointer, pointer, pointer, pointer, pointer}, false);
  }

  std::string input_name(int input) const {
    return quoted(plan_.inputs[static_cast<size_t>(input)].name);
  }
  std::string found(int input, int axis, bool contents = false) const {
    if (!contents) {
      return "input " + input_name(input) + " has size {} at axis " + std::to_string(axis);
    }
    const bool only = contents_.at(input).size() == 1;
    return "input " + input_name(input) + " is {}" +
           (only ? "" : " at position " + std::to_string(axis));
  }
  llvm::Value *size(int input, int axis, bool contents = false) const {
    return contents ? contents_.at(input)[static_cast<size_t>(axis)]
                    : sizes_[static_cast<size_t>(input)][static_cast<size_t>(axis)];
  }
  llvm::Value *below(llvm::Value *value, int64_t bound) {  // in [0, bound)
    return builder_.CreateICmpULT(value, dims_.constant(bound));
  }

  void load_sizes() {
    size_t next = 0;
    for (size_t input = 0; input < plan_.inputs.size(); ++input) {
      sizes_.emplace_back();
      for (size_t axis = 0; axis < plan_.inputs[input].type.shape.size(); ++axis) {
        llvm::Value *value = load(argument(2), next++);
        sizes_.back().push_back(value);
        require(below(value, kMaxSize + 1),
                found(static_cast<int>(input), static_cast<int>(axis)) + ", which is out of range",
                value);
      }
    }
    for (const int input : plan_.contents) {
      const Shape &shape = plan_.inputs[static_cast<size_t>(input)].type.shape;
      for (int64_t i = *element_count(shape).constant(); i > 0; --i) {
        contents_[input].push_back(load(argument(2), next++));
      }
    }
  }

  void bind(const PlanBinding &binding) {
    llvm::Value *given = size(binding.input, binding.axis, binding.contents);
    const SymbolInfo *info = plan_.symbols.find(binding.symbol);
    const SymbolInfo limits = info == nullptr ? SymbolInfo{} : *info;
    const bool direct = binding.coefficient == 1 && binding.offset.is(0);
    const std::string where = found(binding.input, binding.axis, binding.contents);
    const Dim form = Dim(binding.coefficient) * Dim::symbol(binding.symbol) + binding.offset;
    const std::string with =
        direct ? "" : one_line(form.str()) + " with " + one_line(binding.symbol) + " ";
    llvm::Value *symbol = given;
    if (!direct) {
      const Number offset = dims_.number(binding.offset);
      const Number rest = dims_.subtract({given, nullptr}, offset);
      llvm::Value *coefficient = dims_.constant(binding.coefficient);
      symbol = builder_.CreateSDiv(rest.value, coefficient);
      llvm::Value *whole =
          builder_.CreateICmpEQ(builder_.CreateSRem(rest.value, coefficient), dims_.constant(0));
      const std::string message =
          where + ", which is not " + one_line(form.str()) + " for any " + one_line(binding.symbol);
      require_without_overflow(rest.overflow, message, given);
      require(whole, message, given);
    }
    dims_.bind(binding.symbol, symbol);
    require(builder_.CreateICmpSGE(symbol, dims_.constant(limits.lower)),
            where + ", expected " + with + "at least " + std::to_string(limits.lower), given);
    if (limits.upper) {
      require(builder_.CreateICmpSLE(symbol, dims_.constant(*limits.upper)),
              where + ", expected " + with + "at most " + std::to_string(*limits.upper), given);
    }
  }

  void require_without_overflow(llvm::Value *overflow, const std::string &message,
                                llvm::Value *a = nullptr) {
    if (overflow != nullptr) {
      require(builder_.CreateNot(overflow), message, a);
    }
  }

  // The binding that gives exactly this symbol from one axis.
  const PlanBinding *axis_of(const Dim &dim) const {
    const std::optional<std::string> symbol = dim.as_symbol();
    for (const PlanBinding &binding : plan_.bindings) {
      if (symbol == binding.symbol && binding.coefficient == 1 && binding.offset.is(0) &&
          !binding.contents) {
        return &binding;
      }
    }
    return nullptr;
  }

  std::string must_be_equal(int input_a, int axis_a, int input_b, int axis_b) const {
    const std::string a = "axis " + std::to_string(axis_a) + " ({})";
    const std::string b = "axis " + std::to_string(axis_b) + " ({})";
    return input_a == input_b
               ? "input " + input_name(input_a) + ": " + a + " and " + b + " must be equal"
               : "inputs " + input_name(input_a) + " " + a + " and " + input_name(input_b) + " " +
                     b + " must be equal";
  }

  void check_size(const PlanSizeCheck &check) {
    llvm::Value *given = size(check.input, check.axis, check.contents);
    const Number expected = dims_.number(check.expected);
    const std::string where = found(check.input, check.axis, check.contents);
    require_without_overflow(expected.overflow,
                             where + ", expected " + one_line(check.expected.str()), given);
    llvm::Value *equal = builder_.CreateICmpEQ(given, expected.value);
    if (check.expected.is_constant()) {
      require(equal, where + ", expected " + one_line(check.expected.str()), given);
    } else if (const PlanBinding *other = check.contents ? nullptr : axis_of(check.expected)) {
      require(equal, must_be_equal(other->input, other->axis, check.input, check.axis),
              expected.value, given);
    } else {
      require(equal, where + ", expected " + one_line(check.expected.str()) + " = {}", given,
              expected.value);
    }
  }

  // min(a, b) == a says a <= b: that b.
  static std::optional<Dim> bound_of(const Guard &guard) {
    const std::vector<DimTerm> &terms = guard.left.terms();
    if (terms.size() != 1 || terms[0].coefficient != 1 || terms[0].factors.size() != 1 ||
        terms[0].factors[0].kind != AtomKind::Min) {
      return std::nullopt;
    }
    const std::vector<Dim> &operands = terms[0].factors[0].operands;
    return operands[0] == guard.right   ? std::optional(operands[1])
           : operands[1] == guard.right ? std::optional(operands[0])
                                        : std::nullopt;
  }

  // "length + 1 = {}", or just the number.
  static std::string quantity(const Dim &dim) {
    return dim.is_constant() ? dim.str() : one_line(dim.str()) + " = {}";
  }

  void check_guard(const Guard &guard) {
    const std::optional<Dim> bound = bound_of(guard);
    const Dim &first = bound ? guard.right : guard.left;
    const Dim &second = bound ? *bound : guard.right;
    const Number left = dims_.number(first), right = dims_.number(second);
    const PlanBinding *a = axis_of(first), *b = axis_of(second);
    std::string message;
    if (bound) {
      message = "size " + quantity(first) + " must be at most " + quantity(second);
    } else if (a != nullptr && b != nullptr) {
      message = must_be_equal(a->input, a->axis, b->input, b->axis);
    } else {
      message = "sizes " + quantity(first) + " and " + quantity(second) + " must be equal";
    }
    message += guard.reason.empty() ? "" : ": " + one_line(guard.reason);
    require_without_overflow(dims_.either(left.overflow, right.overflow), message);
    llvm::Value *holds = bound ? builder_.CreateICmpSLE(left.value, right.value)
                               : builder_.CreateICmpEQ(left.value, right.value);
    // A constant has no braces to fill.
    require(holds, message, first.is_constant() ? right.value : left.value, right.value);
  }

  bool not_negative(const Dim &dim) const {
    const std::optional<int64_t> lower = plan_.symbols.lower_bound(dim);
    return lower && *lower >= 0;
  }

  // At both ends of what varies while the plan runs.
  void check_tensor(const std::string &name, const TensorType &type) {
    if (plan_.variables.empty()) {
      check_tensor_at(name, type);
      return;
    }
    TensorType most = type;
    for (size_t axis = 0; axis < type.shape.size(); ++axis) {
      for (const Dim &dim : extremes(type.shape[axis], plan_)) {
        check_tensor_at(name, {type.dtype, {dim}});
      }
      most.shape[axis] = largest(type.shape[axis], plan_, name);
    }
    check_tensor_at(name, most);
  }

  void check_tensor_at(const std::string &name, const TensorType &type) {
    for (size_t axis = 0; axis < type.shape.size(); ++axis) {
      const Dim &dim = type.shape[axis];
      if (dim.is_constant() || not_negative(dim) || !checked_.insert(dim).second) {
        continue;
      }
      const Number number = dims_.number(dim);
      const std::string message = quoted(name) + " would have size " + one_line(dim.str()) +
                                  " = {} at axis " + std::to_string(axis);
      require_without_overflow(number.overflow, message, number.value);
      require(builder_.CreateICmpSGE(number.value, dims_.constant(0)), message, number.value);
    }
    const Dim count = element_count(type.shape);
    if (count.is_constant() || !counted_.insert(count).second) {
      return;
    }
    const Number number = dims_.number(count);
    const std::string message =
        quoted(name) +
        " would have 2^31 elements or more at these sizes; take a smaller batch or length";
    require_without_overflow(number.overflow, message);
    require(below(number.value, kMaxSize + 1), message);
  }

  // What a kernel computes on its way is never stored, but indices count it in 32 bits too: along
  // each axis, and through the whole of it where it is reshaped.
  void check_region(const Graph &region) {
    for (const std::unique_ptr<Node> &node : region.nodes()) {
      for (const std::unique_ptr<Value> &value : node->outputs) {
        for (const Dim &dim : value->type.shape) {
          if (!dim.as_symbol()) {
            check_tensor(label_of(*value), {value->type.dtype, {dim}});
          }
        }
        if (node->op == Op::Reshape) {
          check_tensor(label_of(*value), value->type);
        }
      }
      for (const std::unique_ptr<Graph> &inner : node->regions) {
        check_region(*inner);
      }
    }
  }

  void check_tensors() {
    for (const auto *tensors : {&plan_.inputs, &plan_.outputs}) {
      for (const PlanTensor &tensor : *tensors) {
        check_tensor(tensor.name, tensor.type);
      }
    }
    for (const PlanBuffer &buffer : plan_.intermediates) {
      check_tensor(buffer.name, buffer.type);
    }
    for (const PlanCall &call : plan_.calls) {
      if (call.node != nullptr) {
        for (const std::unique_ptr<Graph> &region : call.node->regions) {
          check_region(*region);
        }
      }
    }
  }

  void check_range(const Dim &dim, int64_t low, int64_t high, const std::string &message) {
    for (const Dim &each : extremes(dim, plan_)) {
      check_range_of(each, low, high, message);
    }
  }

  void check_range_of(const Dim &dim, int64_t low, int64_t high, const std::string &message) {
    if (dim.is_constant()) {
      SYLVITE_CHECK(*dim.constant() >= low && *dim.constant() <= high, message);
      return;
    }
    if (!ranged_.insert({dim, high}).second) {
      return;
    }
    const Number number = dims_.number(dim);
    require_without_overflow(number.overflow, message);
    require(builder_.CreateAnd(builder_.CreateICmpSGE(number.value, dims_.constant(low)),
                               builder_.CreateICmpSLE(number.value, dims_.constant(high))),
            message);
  }

  // Kernels take symbols and parts as 32-bit numbers.
  void check_calls() {
    constexpr int64_t kMaxScratch = int64_t{1} << 40;
    for (const PlanCall &call : plan_.calls) {
      const std::string message = "the sizes are too large for " + quoted(call.sources);
      for (const Dim &symbol : call.symbols) {
        check_range(symbol, std::numeric_limits<int32_t>::min(), kMaxSize, message);
      }
      check_range(call.extent0, 0, kMaxSize, message);
      check_range(call.extent1, 0, kMaxSize, message);
      check_range(call.scratch_bytes, 0, kMaxScratch, message);
    }
    for (const PlanIndexCheck &check : plan_.checks) {
      check_range(check.bound, 0, kMaxSize,
                  "the sizes are too large for an index: " + check.message);
    }
  }

  void write_results() {
    llvm::Value *symbols = argument(3), *bytes = argument(4), *output_dims = argument(5);
    for (size_t i = 0; i < plan_.bindings.size(); ++i) {
      store(dims_.value(Dim::symbol(plan_.bindings[i].symbol)), symbols, i);
    }
    for (size_t i = 0; i < plan_.intermediates.size(); ++i) {
      store(dims_.value(byte_count(plan_.intermediates[i].type)), bytes, i);
    }
    size_t next = 0;
    for (const PlanTensor &output : plan_.outputs) {
      for (const Dim &dim : output.type.shape) {
        store(dims_.value(largest(dim, plan_, output.name)), output_dims, next++);
      }
    }
  }

  std::vector<std::vector<llvm::Value *>> sizes_;
  std::map<int, std::vector<llvm::Value *>> contents_;  // by input
  std::set<Dim> checked_, counted_;
  std::set<std::pair<Dim, int64_t>> ranged_;
};

// Walks calls and events in order, and writes the loops; what happens in them is up to the others.
class StepsWriter : public FunctionWriter {
 protected:
  using FunctionWriter::FunctionWriter;

  // The two that every function counts with, and perhaps a second one for costs.
  virtual void bind_variable(const std::string &symbol, llvm::Value *value) {
    dims_.bind(symbol, value);
  }
  virtual void enter() { dims_.enter(); }
  virtual void leave() { dims_.leave(); }
  virtual void write_call(size_t site, const PlanCall &call) = 0;
  virtual void write_event(const PlanEvent &event) = 0;

  void write_steps() {
    size_t event = 0;
    for (size_t i = 0; i <= plan_.calls.size(); ++i) {
      for (; event < plan_.events.size() && plan_.events[event].before <= static_cast<int>(i);
           ++event) {
        write_event(plan_.events[event]);
      }
      if (i < plan_.calls.size()) {
        write_call(i, plan_.calls[i]);
      }
    }
    SYLVITE_CHECK(loops_.empty() && event == plan_.events.size());
  }

  // for (symbol = 0; symbol < trip && go; ++symbol)
  struct Loop {
    const PlanEvent *begin = nullptr;
    llvm::BasicBlock *head = nullptr, *exit = nullptr;
    llvm::PHINode *number = nullptr, *go = nullptr;
    llvm::Value *test = nullptr;  // of this iteration, whether there is another
  };

  void begin_loop(const PlanEvent &event, llvm::Value *condition) {
    Loop loop;
    loop.begin = &event;
    loop.head = new_block("loop");
    loop.exit = new_block("loop_exit");
    llvm::Value *const trip = dims_.value(event.trip);
    llvm::BasicBlock *const before = builder_.GetInsertBlock();
    builder_.CreateBr(loop.head);
    builder_.SetInsertPoint(loop.head);
    loop.number = builder_.CreatePHI(builder_.getInt64Ty(), 2);
    loop.go = builder_.CreatePHI(builder_.getInt1Ty(), 2);
    loop.number->addIncoming(dims_.constant(0), before);
    loop.go->addIncoming(condition, before);
    llvm::BasicBlock *const body = new_block("loop_body");
    builder_.CreateCondBr(builder_.CreateAnd(loop.go, builder_.CreateICmpSLT(loop.number, trip)),
                          body, loop.exit);
    builder_.SetInsertPoint(body);
    enter();
    bind_variable(event.symbol, loop.number);
    loop.test = builder_.getTrue();
    loops_.push_back(loop);
  }

  void end_loop() {
    const Loop loop = loops_.back();
    loops_.pop_back();
    llvm::BasicBlock *const last = builder_.GetInsertBlock();
    loop.number->addIncoming(builder_.CreateAdd(loop.number, dims_.constant(1)), last);
    loop.go->addIncoming(loop.test, last);
    builder_.CreateBr(loop.head);
    leave();
    builder_.SetInsertPoint(loop.exit);
    if (!loop.begin->made.empty()) {
      bind_variable(loop.begin->made, loop.number);
    }
  }

  std::vector<Loop> loops_;  // that are open
};

class RunWriter : public StepsWriter {
 public:
  RunWriter(llvm::Module &module, const Plan &plan)
      : StepsWriter(module, plan, "sylvite_run", type(module), false), costs_(builder_, true) {
    size_t most = 1;
    for (const PlanCall &call : plan.calls) {
      most = std::max(most, call.symbols.size());
    }
    symbols_ = builder_.CreateAlloca(llvm::ArrayType::get(builder_.getInt32Ty(), most));
    bind_symbols(argument(2));
    for (size_t i = 0; i < plan.bindings.size(); ++i) {
      costs_.bind(plan.bindings[i].symbol, dims_.value(Dim::symbol(plan.bindings[i].symbol)));
    }
    write_steps();
    for (const PlanCopy &copy : plan.copies) {
      const size_t output = static_cast<size_t>(copy.to - plan.first_output());
      return_if_failed(call_api(
          offsetof(sylvite_runtime_api, copy),
          {int32(copy.to), int32(copy.from), dims_.value(byte_count(plan.outputs[output].type))}));
    }
    report_sizes();
    builder_.CreateRet(int32(SYL_OK));
  }

 private:
  static llvm::FunctionType *type(llvm::Module &module) {
    llvm::LLVMContext &context = module.getContext();
    llvm::Type *pointer = llvm::PointerType::getUnqual(context);
    return llvm::FunctionType::get(llvm::Type::getInt32Ty(context), {pointer, pointer, pointer},
                                   false);
  }

  void bind_variable(const std::string &symbol, llvm::Value *value) override {
    dims_.bind(symbol, value);
    costs_.bind(symbol, value);
  }
  void enter() override {
    dims_.enter();
    costs_.enter();
  }
  void leave() override {
    dims_.leave();
    costs_.leave();
  }

  // A boolean that was computed; -1: true.
  llvm::Value *condition(int buffer) {
    if (buffer < 0) {
      return builder_.getTrue();
    }
    llvm::Value *number = call_api(offsetof(sylvite_runtime_api, is_true), {int32(buffer)});
    return builder_.CreateICmpNE(number, int32(0));
  }

  void write_event(const PlanEvent &event) override {
    switch (event.kind) {
      case PlanEvent::Kind::Copy:
        return_if_failed(call_api(offsetof(sylvite_runtime_api, copy_part),
                                  {int32(event.to), dims_.value(event.offset), int32(event.from),
                                   dims_.value(event.bytes)}));
        break;
      case PlanEvent::Kind::LoopBegin:
        begin_loop(event, condition(event.condition));
        break;
      case PlanEvent::Kind::LoopTest:
        loops_.back().test = condition(event.condition);
        break;
      case PlanEvent::Kind::LoopEnd:
        end_loop();
        break;
      case PlanEvent::Kind::IfBegin: {
        llvm::BasicBlock *const then_block = new_block("then");
        ifs_.push_back({new_block("else"), new_block("if_end"), nullptr, {}});
        builder_.CreateCondBr(condition(event.condition), then_block, ifs_.back().otherwise);
        builder_.SetInsertPoint(then_block);
        enter();
        break;
      }
      case PlanEvent::Kind::Size:
        ifs_.back().sizes[event.symbol].push_back(dims_.value(event.trip));
        break;
      case PlanEvent::Kind::IfElse:
        ifs_.back().then_end = builder_.GetInsertBlock();
        builder_.CreateBr(ifs_.back().end);
        builder_.SetInsertPoint(ifs_.back().otherwise);
        leave();
        enter();
        break;
      case PlanEvent::Kind::IfEnd:
        end_if();
        break;
    }
  }

  void end_if() {
    const If open = std::move(ifs_.back());
    ifs_.pop_back();
    llvm::BasicBlock *const else_end = builder_.GetInsertBlock();
    builder_.CreateBr(open.end);
    builder_.SetInsertPoint(open.end);
    leave();
    for (const auto &[symbol, values] : open.sizes) {
      llvm::PHINode *const size = builder_.CreatePHI(builder_.getInt64Ty(), 2);
      size->addIncoming(values.at(0), open.then_end);
      size->addIncoming(values.at(1), else_end);
      bind_variable(symbol, size);
    }
  }

  void write_checks(size_t site) {
    for (; check_ < plan_.checks.size() && plan_.checks[check_].before <= static_cast<int>(site);
         ++check_) {
      write_check(plan_.checks[check_]);
    }
  }

  void write_check(const PlanIndexCheck &check) {
    return_if_failed(
        call_api(offsetof(sylvite_runtime_api, check_indices),
                 {int32(check.buffer), int32(static_cast<int64_t>(check.dtype)),
                  dims_.constant(check.first), dims_.constant(check.step), dims_.value(check.count),
                  dims_.value(check.bound), text_constant(module_, check.message)}));
  }

  void write_call(size_t site, const PlanCall &call) override {
    write_checks(site);
    for (size_t s = 0; s < call.symbols.size(); ++s) {
      llvm::Value *symbol =
          builder_.CreateTrunc(dims_.value(call.symbols[s]), builder_.getInt32Ty());
      builder_.CreateStore(symbol,
                           builder_.CreateConstInBoundsGEP1_64(builder_.getInt32Ty(), symbols_, s));
    }
    llvm::Value *cost = costs_.saturated(call.flops + Dim(8) * call.bytes);
    return_if_failed(
        call_api(offsetof(sylvite_runtime_api, call),
                 {int32(static_cast<int64_t>(site)), symbols_, dims_.value(call.extent0),
                  dims_.value(call.extent1), dims_.value(call.scratch_bytes), cost}));
  }

  // Of outputs whose size depends on how many iterations a loop made; prepare gave the largest.
  void report_sizes() {
    for (size_t output = 0; output < plan_.outputs.size(); ++output) {
      const Shape &shape = plan_.outputs[output].type.shape;
      for (size_t axis = 0; axis < shape.size(); ++axis) {
        const bool varies = std::any_of(
            plan_.variables.begin(), plan_.variables.end(),
            [&](const PlanVariable &variable) { return mentions(shape[axis], variable.symbol); });
        if (varies) {
          return_if_failed(call_api(offsetof(sylvite_runtime_api, set_size),
                                    {int32(static_cast<int64_t>(output)),
                                     int32(static_cast<int64_t>(axis)), dims_.value(shape[axis])}));
        }
      }
    }
  }

  DimWriter costs_;
  llvm::Value *symbols_ = nullptr;
  size_t check_ = 0;
  struct If {
    llvm::BasicBlock *otherwise = nullptr, *end = nullptr, *then_end = nullptr;
    std::map<std::string, std::vector<llvm::Value *>> sizes;  // by symbol, of each branch
  };
  std::vector<If> ifs_;  // that are open
};

// Costs of a call in a loop are those of all iterations that may be made; both branches of an If
// count.
class CostsWriter : public StepsWriter {
 public:
  CostsWriter(llvm::Module &module, const Plan &plan)
      : StepsWriter(module, plan, "sylvite_costs", type(module), true) {
    // One long block, for profiles: LLVM's scheduler would compare each of its stores with all
    // others.
    function()->addFnAttr(llvm::Attribute::OptimizeNone);
    function()->addFnAttr(llvm::Attribute::NoInline);
    bind_symbols(argument(0));
    if (!plan.events.empty()) {
      for (size_t i = 0; i < plan.calls.size(); ++i) {
        store(dims_.constant(0), argument(1), i);
        store(dims_.constant(0), argument(2), i);
      }
    }
    write_steps();
    builder_.CreateRetVoid();
  }

 private:
  static llvm::FunctionType *type(llvm::Module &module) {
    llvm::LLVMContext &context = module.getContext();
    llvm::Type *pointer = llvm::PointerType::getUnqual(context);
    return llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer, pointer, pointer},
                                   false);
  }

  void write_call(size_t site, const PlanCall &call) override {
    add(call.flops, argument(1), site);
    add(call.bytes, argument(2), site);
  }

  void add(const Dim &cost, llvm::Value *array, size_t site) {
    llvm::Value *const one = dims_.saturated(cost);
    store(loops_.empty()
              ? one
              : builder_.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, load(array, site), one),
          array, site);
  }

  void write_event(const PlanEvent &event) override {
    if (event.kind == PlanEvent::Kind::LoopBegin) {
      begin_loop(event, builder_.getTrue());
    } else if (event.kind == PlanEvent::Kind::Size) {
      llvm::Value *&size = sizes_[event.symbol];
      llvm::Value *const own = dims_.value(event.trip);
      size =
          size == nullptr ? own : builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, size, own);
      bind_variable(event.symbol, size);
    } else if (event.kind == PlanEvent::Kind::LoopEnd) {
      end_loop();
    }
  }

  std::map<std::string, llvm::Value *> sizes_;  // that branches decide: the largest so far
};

}  // namespace

PlanFunctions emit_plan_functions(llvm::Module &module, const Plan &plan) {
  return {PrepareWriter(module, plan).function(), RunWriter(module, plan).function(),
          CostsWriter(module, plan).function()};
}

}  // namespace sylvite
