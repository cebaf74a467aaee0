#include "tests/passes/sample_layers.h"

#include <cstdint>
#include <cstdio>

namespace sylvite {
namespace {

// Numbers between -1 and 1 that differ from each other and are the same in every run.
std::string weights(const std::string &name, const std::string &shape, int count, uint32_t seed) {
  std::string text = "  " + name + " = constant {value = f32" + shape + " (";
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    char number[32];
    std::snprintf(number, sizeof number, "%s%.3f", i == 0 ? "" : ", ",
                  static_cast<double>(seed >> 8) / (1 << 23) - 1.0);
    text += number;
  }
  return text + ")}\n";
}

std::string number(const std::string &name, const std::string &value) {
  return "  " + name + " = constant {value = f32[] (" + value + ")}\n";
}

// `to` = layer norm of `from`.
std::string norm(const LayerSpelling &spelling, const std::string &from, const std::string &to) {
  if (!spelling.norm_in_parts) {
    return "  " + to + " = layer_norm(" + from + ", g, b) {axis = 2, epsilon = 1e-5}\n";
  }
  const std::string p = to + "_";
  return "  " + p + "mean = reduce(" + from + ") {kind = \"mean\", axes = (2), keepdims = 1}\n" +
         "  " + p + "c = sub(" + from + ", " + p + "mean)\n" + "  " + p + "sq = pow(" + p +
         "c, two)\n" + "  " + p + "var = reduce(" + p +
         "sq) {kind = \"mean\", axes = (2), keepdims = 1}\n" + "  " + p + "eps = add(" + p +
         "var, epsilon)\n" + "  " + p + "root = sqrt(" + p + "eps)\n" + "  " + p + "div = div(" +
         p + "c, " + p + "root)\n" + "  " + p + "mul = mul(" + p + "div, g)\n" + "  " + to +
         " = add(" + p + "mul, b)\n";
}

std::string heads(const LayerSpelling &spelling, const std::string &x) {
  if (spelling.packed_qkv) {
    std::string text = weights("wqkv", "[8, 24]", 192, 11) + weights("bqkv", "[24]", 24, 12) +
                       "  mqkv = matmul(" + x +
                       ", wqkv)\n"
                       "  aqkv = add(bqkv, mqkv)\n"
                       "  rqkv = reshape(aqkv) {shape = [batch, length, 3, 2, 4]}\n"
                       "  tqkv = transpose(rqkv) {perm = (2, 0, 3, 1, 4)}\n";
    for (int i = 0; i < 3; ++i) {
      const std::string name(1, "qkv"[i]);
      text += "  s" + name + " = slice(tqkv) {starts = [" + std::to_string(i) +
              ", 0, 0, 0, 0], sizes = [1, batch, 2, length, 4], steps = (1, 1, 1, 1, 1)}\n" + "  " +
              name + "h = reshape(s" + name + ") {shape = [batch, 2, length, 4]}\n";
    }
    return text + "  kt = transpose(kh) {perm = (0, 1, 3, 2)}\n";
  }
  std::string text;
  uint32_t seed = 21;
  for (const std::string name : {"q", "k", "v"}) {
    seed += 2;
    text += weights("w" + name, "[8, 8]", 64, seed) + weights("b" + name, "[8]", 8, seed + 1) +
            "  m" + name + " = matmul(" + x + ", w" + name + ")\n" + "  a" + name + " = add(b" +
            name + ", m" + name + ")\n" + "  r" + name + " = reshape(a" + name +
            ") {shape = [batch, length, 2, 4]}\n";
  }
  return text +
         "  qh = transpose(rq) {perm = (0, 2, 1, 3)}\n"
         "  kt = transpose(rk) {perm = (0, 2, 3, 1)}\n"
         "  vh = transpose(rv) {perm = (0, 2, 1, 3)}\n";
}

std::string attention(const LayerSpelling &spelling, const std::string &x) {
  std::string text = heads(spelling, x);
  std::string scores = "scores";
  if (spelling.scale_on_q_and_k) {
    text += number("scale", "0.70710678") +
            "  qs = mul(qh, scale)\n  ks = mul(kt, scale)\n  scores = matmul(qs, ks)\n";
  } else {
    text += number("scale", "2") + "  products = matmul(qh, kt)\n  scores = div(products, scale)\n";
  }
  if (spelling.masked) {
    text += number("zero", "0") + number("lowest", "-3.4028235e38") +
            "  keep = cast(mask) {to = bool}\n"
            "  keep4 = reshape(keep) {shape = [batch, 1, 1, length]}\n"
            "  kept = expand(keep4) {shape = [batch, 1, length, length]}\n"
            "  bias = where(kept, zero, lowest)\n"
            "  masked = add(scores, bias)\n";
    scores = "masked";
  }
  if (spelling.softmax_in_parts) {
    text += "  most = reduce(" + scores + ") {kind = \"max\", axes = (3), keepdims = 1}\n" +
            "  less = sub(" + scores +
            ", most)\n"
            "  e = exp(less)\n"
            "  total = reduce(e) {kind = \"sum\", axes = (3), keepdims = 1}\n"
            "  p = div(e, total)\n";
  } else {
    text += "  p = softmax(" + scores + ") {axis = 3}\n";
  }
  if (spelling.nan_guard) {
    text += number("nothing", "0") + "  nan = is_nan(p)\n  guarded = where(nan, nothing, p)\n";
  }
  return text + weights("wo", "[8, 8]", 64, 31) + weights("bo", "[8]", 8, 32) + "  pv = matmul(" +
         (spelling.nan_guard ? "guarded" : "p") + ", vh)\n" +
         "  tv = transpose(pv) {perm = (0, 2, 1, 3)}\n"
         "  merged = reshape(tv) {shape = [batch, length, 8]}\n"
         "  mo = matmul(merged, wo)\n"
         "  attended = add(bo, mo)\n";
}

// `inner` = gelu of `from`.
std::string gelu(const LayerSpelling &spelling, const std::string &from) {
  if (spelling.tanh_gelu) {
    return number("three", "3") + number("small", "0.044715") + number("root", "0.7978845608") +
           "  g1 = pow(" + from + ", three)\n  g2 = mul(g1, small)\n  g3 = add(" + from +
           ", g2)\n  g4 = mul(g3, root)\n  g5 = tanh(g4)\n  g6 = add(g5, one)\n  g7 = mul(" + from +
           ", g6)\n  inner = mul(g7, half)\n";
  }
  return number("root2", "1.4142135") + "  e1 = div(" + from +
         ", root2)\n  e2 = erf(e1)\n  e3 = add(e2, one)\n  e4 = mul(half, e3)\n  inner = mul(" +
         from + ", e4)\n";
}

std::string feed_forward(const LayerSpelling &spelling, const std::string &x) {
  return weights("w1", "[8, 12]", 96, 41) + weights("c1", "[12]", 12, 42) +
         weights("w2", "[12, 8]", 96, 43) + weights("c2", "[8]", 8, 44) + "  m1 = matmul(" + x +
         ", w1)\n  a1 = add(c1, m1)\n" + gelu(spelling, "a1") +
         "  m2 = matmul(inner, w2)\n  fed = add(c2, m2)\n";
}

constexpr const char *kSymbols =
    "  symbol batch in [1, inf)\n"
    "  symbol length in [1, inf)\n";

}  // namespace

std::string sample_layer(const LayerSpelling &spelling) {
  std::string text = "graph layer (x: f32[batch, length, 8], mask: i64[batch, length]) {\n" +
                     std::string(kSymbols) + weights("g", "[8]", 8, 1) + weights("b", "[8]", 8, 2) +
                     number("two", "2") + number("one", "1") + number("half", "0.5") +
                     number("epsilon", "1e-5");
  if (spelling.post_norm) {
    return text + attention(spelling, "x") + "  sum1 = add(attended, x)\n" +
           norm(spelling, "sum1", "n1") + feed_forward(spelling, "n1") + "  sum2 = add(fed, n1)\n" +
           norm(spelling, "sum2", "y") + "  return y\n}\n";
  }
  return text + norm(spelling, "x", "n1") + attention(spelling, "n1") +
         "  sum1 = add(attended, x)\n" + norm(spelling, "sum1", "n2") +
         feed_forward(spelling, "n2") + "  sum2 = add(fed, sum1)\n" + norm(spelling, "sum2", "y") +
         "  return y\n}\n";
}

std::string sample_patch_embedding() {
  return "graph patches (image: f32[batch, 3, 8, 4]) {\n  symbol batch in [1, inf)\n" +
         weights("filters", "[8, 3, 4, 2]", 192, 51) + weights("cb", "[8]", 8, 52) +
         weights("token", "[1, 1, 8]", 8, 53) + weights("positions", "[1, 5, 8]", 40, 54) +
         weights("g", "[8]", 8, 55) + weights("head", "[4, 8]", 32, 56) +
         "  c = conv(image, filters) {strides = (4, 2), pads = (0, 0, 0, 0), dilations = (1, 1), "
         "group = 1}\n"
         "  cbr = reshape(cb) {shape = [1, 8, 1, 1]}\n"
         "  cs = add(c, cbr)\n"
         "  flat = reshape(cs) {shape = [batch, 8, 4]}\n"
         "  rows = transpose(flat) {perm = (0, 2, 1)}\n"
         "  tokens = expand(token) {shape = [batch, 1, 8]}\n"
         "  all = concat(tokens, rows) {axis = 1}\n"
         "  x = add(all, positions)\n"
         "  n = layer_norm(x, g, g) {axis = 2, epsilon = 1e-5}\n"
         "  y = add(n, x)\n"
         "  first = constant {value = i64[] (0)}\n"
         "  class = gather(y, first) {axis = 1}\n"
         "  headt = transpose(head) {perm = (1, 0)}\n"
         "  logits = matmul(class, headt)\n"
         "  return logits, y\n}\n";
}

std::string sample_token_embedding() {
  return "graph tokens (ids: i64[batch, length], types: i64[batch, length]) {\n" +
         std::string("  symbol batch in [1, inf)\n  symbol length in [1, 6]\n") +
         weights("words", "[11, 8]", 88, 61) + weights("positions", "[6, 8]", 48, 62) +
         weights("kinds", "[2, 8]", 16, 63) + weights("g", "[8]", 8, 64) +
         "  w = gather(words, ids) {axis = 0}\n"
         "  k = gather(kinds, types) {axis = 0}\n"
         "  wk = add(w, k)\n"
         "  at = iota() {start = [0], step = [1], count = [length], dtype = i64}\n"
         "  at2 = reshape(at) {shape = [1, length]}\n"
         "  p = gather(positions, at2) {axis = 0}\n"
         "  sum = add(wk, p)\n"
         "  y = layer_norm(sum, g, g) {axis = 2, epsilon = 1e-5}\n"
         "  return y\n}\n";
}

}  // namespace sylvite
