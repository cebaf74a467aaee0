// Arithmetic, comparisons and logic: operators that are one op of the IR, or a few.
#include <cmath>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

template <Op op>
void unary(OnnxNode &node) {
  node.set_output(0, node.add(op, {node.input(0)}));
}

template <Op op>
void binary(OnnxNode &node) {
  node.set_output(0, node.add(op, {node.input(0), node.input(1)}));
}

// greater(a, b)  =>  less(b, a)
template <Op op>
void swapped(OnnxNode &node) {
  node.set_output(0, node.add(op, {node.input(1), node.input(0)}));
}

template <Op op>
Value *folded(OnnxNode &node) {
  Value *result = node.input(0);
  for (size_t i = 1; i < node.input_count(); ++i) {
    result = node.add(op, {result, node.input(i)});
  }
  return result;
}

template <Op op>
void variadic(OnnxNode &node) {
  node.set_output(0, folded<op>(node));
}

void mean(OnnxNode &node) {
  Value *const sum = folded<Op::Add>(node);
  const auto count = static_cast<double>(node.input_count());
  node.set_output(0,
                  node.input_count() == 1 ? sum : node.add(Op::Div, {sum, node.like(sum, count)}));
}

void identity(OnnxNode &node) {
  node.set_output(0, node.input(0));
}

void reciprocal(OnnxNode &node) {
  Value *const x = node.input(0);
  node.set_output(0, node.add(Op::Div, {node.like(x, 1), x}));
}

// The result has the base's type, whatever the exponent's.
void power(OnnxNode &node) {
  Value *const base = node.input(0);
  Value *const exponent = node.input(1);
  const DType type = base->type.dtype;
  if (is_integer(type) && is_integer(exponent->type.dtype)) {
    node.set_output(0, node.add(Op::Pow, {base, exponent}));  // which may not fit the base's type
  } else if (!is_float(type) && is_float(exponent->type.dtype)) {
    Value *const wide = node.cast(base, exponent->type.dtype);
    node.set_output(0, node.cast(node.add(Op::Pow, {wide, exponent}), type));
  } else {
    node.set_output(0, node.add(Op::Pow, {base, node.cast(exponent, type)}));
  }
}

void modulus(OnnxNode &node) {
  const int64_t fmod = node.integer("fmod", 0);
  if (fmod == 0 && is_float(node.input(0)->type.dtype) && node.opset() < 28) {
    node.fail("needs fmod = 1 for floats");
  }
  node.set_output(0, node.add(Op::Mod, {node.input(0), node.input(1)}, {{"fmod", fmod}}));
}

// ~x  =>  x xor -1
void bitwise_not(OnnxNode &node) {
  Value *const x = node.input(0);
  node.set_output(0, node.add(Op::Xor, {x, node.like(x, -1)}));
}

// By 1, 2, 4, ... places, where the amount has that bit: products, or quotients towards minus
// infinity, with powers of two. An amount below 0 or beyond the type's width leaves nothing but
// copies of the sign.
void bit_shift(OnnxNode &node) {
  const std::string direction = node.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT") {
    node.fail("direction is '", direction, "', expected 'LEFT' or 'RIGHT'");
  }
  const bool left = direction == "LEFT";
  Value *const x = node.input(0);
  Value *const amount = node.input(1);
  const DType type = x->type.dtype;
  const int64_t width = 8 * size_of(type);
  Value *const zero = node.like(x, 0);
  Value *shifted = x;
  for (int64_t places = 1; places < width; places *= 2) {
    const auto step = static_cast<double>(places);
    Value *const bit = node.add(Op::And, {amount, node.like(x, step)});
    Value *const factor = node.like(x, std::exp2(step));
    Value *moved = nullptr;
    if (left) {
      moved = node.add(Op::Mul, {shifted, factor});
    } else {
      Value *const rest = node.add(Op::Mod, {shifted, factor}, {{"fmod", int64_t{0}}});
      moved = node.add(Op::Div, {node.add(Op::Sub, {shifted, rest}), factor});
    }
    shifted = node.add(Op::Where, {node.add(Op::Equal, {bit, zero}), shifted, moved});
  }
  Value *sign = zero;
  Value *beyond = node.add(Op::Less, {node.like(x, static_cast<double>(width) - 1), amount});
  if (is_signed(type)) {
    beyond = node.add(Op::Or, {beyond, node.add(Op::Less, {amount, zero})});
    sign =
        left ? zero : node.add(Op::Where, {node.add(Op::Less, {x, zero}), node.like(x, -1), zero});
  }
  node.set_output(0, node.add(Op::Where, {beyond, sign, shifted}));
}

void is_inf(OnnxNode &node) {
  node.set_output(0, node.add(Op::IsInf, {node.input(0)},
                              {{"negative", node.integer("detect_negative", 1)},
                               {"positive", node.integer("detect_positive", 1)}}));
}

void cast(OnnxNode &node) {
  node.set_output(0, node.cast(node.input(0), node.dtype("to")));
}

void cast_like(OnnxNode &node) {
  node.set_output(0, node.cast(node.input(0), node.input(1)->type.dtype));
}

void clip(OnnxNode &node) {
  Value *result = node.input(0);
  if (Value *const low = node.input_or_null(1)) {
    result = node.add(Op::Max, {result, low});
  }
  if (Value *const high = node.input_or_null(2)) {
    result = node.add(Op::Min, {result, high});
  }
  node.set_output(0, result);
}

void where(OnnxNode &node) {
  node.set_output(0, node.add(Op::Where, {node.input(0), node.input(1), node.input(2)}));
}

// In inference, or where it drops none, a dropout is its input, and its mask keeps everything.
void dropout(OnnxNode &node) {
  if (node.has_input(2) && node.number(2, "training mode") != 0) {
    const std::optional<Tensor> ratio =
        node.has_input(1) ? known_tensor(node.input(1)) : std::nullopt;
    if (!ratio || ratio->count() != 1 || ratio->at(0) != 0) {
      node.fail("training_mode is set; export the model in evaluation mode");
    }
  }
  node.set_output(0, node.input(0));
  if (node.has_output(1)) {
    node.set_output(1, node.expand(node.scalar(DType::Bool, 1), node.input(0)->type.shape));
  }
}

constexpr OpRule kRules[] = {
    {"Abs", 13, unary<Op::Abs>},
    {"Add", 14, binary<Op::Add>},
    {"And", 7, binary<Op::And>},
    {"BitShift", 28, bit_shift},
    {"BitwiseAnd", 18, binary<Op::And>},
    {"BitwiseNot", 18, bitwise_not},
    {"BitwiseOr", 18, binary<Op::Or>},
    {"BitwiseXor", 18, binary<Op::Xor>},
    {"Cast", 28, cast},
    {"CastLike", 25, cast_like},
    {"Ceil", 13, unary<Op::Ceil>},
    {"Clip", 13, clip},
    {"Cos", 22, unary<Op::Cos>},
    {"Div", 14, binary<Op::Div>},
    {"Dropout", 22, dropout},
    {"Equal", 19, binary<Op::Equal>},
    {"Erf", 13, unary<Op::Erf>},
    {"Exp", 13, unary<Op::Exp>},
    {"Floor", 13, unary<Op::Floor>},
    {"Greater", 13, swapped<Op::Less>},
    {"GreaterOrEqual", 16, swapped<Op::LessEqual>},
    {"Identity", 25, identity},
    {"IsInf", 20, is_inf},
    {"IsNaN", 20, unary<Op::IsNaN>},
    {"Less", 13, binary<Op::Less>},
    {"LessOrEqual", 16, binary<Op::LessEqual>},
    {"Log", 13, unary<Op::Log>},
    {"Max", 13, variadic<Op::Max>},
    {"Mean", 13, mean},
    {"Min", 13, variadic<Op::Min>},
    {"Mod", 28, modulus},
    {"Mul", 14, binary<Op::Mul>},
    {"Neg", 13, unary<Op::Neg>},
    {"Not", 1, unary<Op::Not>},
    {"Or", 7, binary<Op::Or>},
    {"Pow", 15, power},
    {"Reciprocal", 13, reciprocal},
    {"Round", 22, unary<Op::Round>},
    {"Sign", 13, unary<Op::Sign>},
    {"Sin", 22, unary<Op::Sin>},
    {"Sqrt", 13, unary<Op::Sqrt>},
    {"Sub", 14, binary<Op::Sub>},
    {"Sum", 13, variadic<Op::Add>},
    {"Tanh", 13, unary<Op::Tanh>},
    {"Where", 16, where},
    {"Xor", 7, binary<Op::Xor>},
};

}  // namespace

std::span<const OpRule> elementwise_rules() {
  return kRules;
}

}  // namespace sylvite
