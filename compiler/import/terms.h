// Expressions over values, so that rules which are formulas read like formulas.
#pragma once

#include "compiler/import/onnx_node.h"

namespace sylvite {

struct Term {
  OnnxNode &node;
  Value *value;
};

inline Term apply(Op op, Term a) {
  return {a.node, a.node.add(op, {a.value})};
}
inline Term apply(Op op, Term a, Term b) {
  return {a.node, a.node.add(op, {a.value, b.value})};
}
inline Term number(Term like, double value) {
  return {like.node, like.node.like(like.value, value)};
}
inline Term operator+(Term a, Term b) {
  return apply(Op::Add, a, b);
}
inline Term operator-(Term a, Term b) {
  return apply(Op::Sub, a, b);
}
inline Term operator*(Term a, Term b) {
  return apply(Op::Mul, a, b);
}
inline Term operator/(Term a, Term b) {
  return apply(Op::Div, a, b);
}
inline Term operator+(Term a, double b) {
  return a + number(a, b);
}
inline Term operator-(Term a, double b) {
  return a - number(a, b);
}
inline Term operator-(double a, Term b) {
  return number(b, a) - b;
}
inline Term operator*(Term a, double b) {
  return a * number(a, b);
}
inline Term operator/(double a, Term b) {
  return number(b, a) / b;
}
inline Term operator<(Term a, Term b) {
  return apply(Op::Less, a, b);
}
inline Term operator<(Term a, double b) {
  return a < number(a, b);
}
inline Term operator==(Term a, double b) {
  return apply(Op::Equal, a, number(a, b));
}
inline Term max(Term a, double b) {
  return apply(Op::Max, a, number(a, b));
}
inline Term min(Term a, double b) {
  return apply(Op::Min, a, number(a, b));
}
inline Term where(Term condition, Term then, Term other) {
  return {then.node, then.node.add(Op::Where, {condition.value, then.value, other.value})};
}
inline Term where_negative(Term x, Term negative, Term other) {
  return where(x < 0, negative, other);
}

}  // namespace sylvite
