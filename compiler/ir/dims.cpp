// Canonical symbolic integers.
//
// A Dim is a sorted sum of sorted products, so that polynomials that are equal are equal as objects
// and most questions need no prover. What a polynomial cannot say (floor_div, min, max) is an
// opaque atom whose operands are canonical in turn; its constructors pull out everything that they
// can decide without ranges. Questions that need ranges (bounds, prove_*) are answered by interval
// arithmetic over a few rewritings of the expression, see lower_of. The size of an expression is
// bounded: a hostile model can nest max(x+1, 2*x) as deep as it likes, and a tree of doubling size
// would be compared and printed forever.
#include "compiler/ir/dims.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <numeric>
#include <sstream>
#include <utility>

namespace sylvite {
namespace {

constexpr size_t kMaxTerms = 256;
constexpr size_t kMaxFactors = 32;
constexpr int kMaxDepth = 32;
constexpr int kMaxAtoms = 2048;  // of the whole tree

using Terms = std::vector<DimTerm>;
using Factors = std::vector<DimAtom>;

int64_t checked_add(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) {
    throw DimOverflow("a size exceeds 64 bits");
  }
  return result;
}

int64_t checked_mul(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    throw DimOverflow("a size exceeds 64 bits");
  }
  return result;
}

int64_t floor_div_int(int64_t a, int64_t b) {
  if (b == 0) {
    throw DimOverflow("a size is divided by zero");
  }
  if (b == -1) {
    return checked_mul(a, -1);
  }
  const int64_t quotient = a / b;
  return (a % b != 0 && ((a < 0) != (b < 0))) ? quotient - 1 : quotient;
}

std::strong_ordering compare_atoms(const DimAtom &a, const DimAtom &b) {
  if (a.kind != b.kind) {
    return a.kind <=> b.kind;
  }
  if (a.kind == AtomKind::Symbol) {
    const int order = a.name.compare(b.name);
    return order < 0   ? std::strong_ordering::less
           : order > 0 ? std::strong_ordering::greater
                       : std::strong_ordering::equal;
  }
  for (size_t i = 0; i < 2; ++i) {
    if (const std::strong_ordering order = a.operands[i] <=> b.operands[i]; order != 0) {
      return order;
    }
  }
  return std::strong_ordering::equal;
}

std::strong_ordering compare_factors(const Factors &a, const Factors &b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (const std::strong_ordering order = compare_atoms(a[i], b[i]); order != 0) {
      return order;
    }
  }
  return a.size() <=> b.size();
}

// Order of terms in a sum: by factors, the constant last.
bool term_before(const DimTerm &a, const DimTerm &b) {
  if (a.factors.empty() || b.factors.empty()) {
    return !a.factors.empty() && b.factors.empty();
  }
  return compare_factors(a.factors, b.factors) < 0;
}

// Depth and number of atoms of the tree; stops counting atoms where the bound is passed.
void measure(const Terms &terms, int depth, int &deepest, int &atoms) {
  deepest = std::max(deepest, depth);
  for (const DimTerm &term : terms) {
    for (const DimAtom &atom : term.factors) {
      if (++atoms > kMaxAtoms || depth > kMaxDepth) {
        return;
      }
      for (const Dim &operand : atom.operands) {
        measure(operand.terms(), depth + 1, deepest, atoms);
      }
    }
  }
}

}  // namespace

// Makes canonical Dims; the only one to call Dim's private constructor.
class DimBuilder {
 public:
  static Dim make(Terms terms) {
    std::sort(terms.begin(), terms.end(), term_before);
    size_t kept = 0;
    for (size_t i = 0; i < terms.size(); ++i) {
      if (kept > 0 && compare_factors(terms[kept - 1].factors, terms[i].factors) == 0) {
        terms[kept - 1].coefficient =
            checked_add(terms[kept - 1].coefficient, terms[i].coefficient);
        continue;
      }
      if (kept > 0 && terms[kept - 1].coefficient == 0) {
        --kept;
      }
      if (kept != i) {
        terms[kept] = std::move(terms[i]);
      }
      ++kept;
    }
    if (kept > 0 && terms[kept - 1].coefficient == 0) {
      --kept;
    }
    terms.resize(kept);
    if (terms.size() > kMaxTerms) {
      throw DimOverflow("a size is a sum of too many terms");
    }
    int deepest = 0;
    int atoms = 0;
    measure(terms, 0, deepest, atoms);
    if (atoms > kMaxAtoms || deepest > kMaxDepth) {
      throw DimOverflow("a size is too large an expression");
    }
    return Dim(std::move(terms));
  }

  static Dim monomial(int64_t coefficient, Factors factors) {
    if (factors.size() > kMaxFactors) {
      throw DimOverflow("a size is a product of too many factors");
    }
    Terms terms(1);
    terms[0].coefficient = coefficient;
    terms[0].factors = std::move(factors);
    return make(std::move(terms));
  }

  static Dim atom(AtomKind kind, const Dim &a, const Dim &b) {
    DimAtom atom;
    atom.kind = kind;
    atom.operands = {a, b};
    return monomial(1, {std::move(atom)});
  }
};

namespace {

// The factors of a that are left when those of b are taken out; nothing if some are missing.
std::optional<Factors> divide_factors(const Factors &a, const Factors &b) {
  Factors rest;
  size_t j = 0;
  for (const DimAtom &atom : a) {
    if (j < b.size() && compare_atoms(atom, b[j]) == 0) {
      ++j;
    } else {
      rest.push_back(atom);
    }
  }
  return j == b.size() ? std::optional<Factors>(std::move(rest)) : std::nullopt;
}

// A monomial order that multiplication keeps: by degree, then by the sorted factors.
bool monomial_less(const Factors &a, const Factors &b) {
  return a.size() != b.size() ? a.size() < b.size() : compare_factors(a, b) > 0;
}

const DimTerm &leading_term(const Dim &dim) {
  return *std::max_element(
      dim.terms().begin(), dim.terms().end(),
      [](const DimTerm &a, const DimTerm &b) { return monomial_less(a.factors, b.factors); });
}

// The factors that all terms of both share.
Factors common_factors(const Dim &a, const Dim &b) {
  std::optional<Factors> common;
  for (const Dim *dim : {&a, &b}) {
    for (const DimTerm &term : dim->terms()) {
      if (!common) {
        common = term.factors;
        continue;
      }
      Factors shared;
      std::set_intersection(
          common->begin(), common->end(), term.factors.begin(), term.factors.end(),
          std::back_inserter(shared),
          [](const DimAtom &x, const DimAtom &y) { return compare_atoms(x, y) < 0; });
      common = std::move(shared);
    }
  }
  return common.value_or(Factors{});
}

// Magnitude as unsigned: INT64_MIN has one too.
uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

int64_t common_coefficient(const Dim &a, const Dim &b) {
  uint64_t divisor = 0;
  for (const Dim *dim : {&a, &b}) {
    for (const DimTerm &term : dim->terms()) {
      divisor = std::gcd(divisor, magnitude(term.coefficient));
    }
  }
  constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
  return divisor == 0 || divisor > kLargest ? 1 : static_cast<int64_t>(divisor);
}

Dim divide_by_monomial(const Dim &dim, int64_t coefficient, const Factors &factors) {
  Terms terms;
  for (const DimTerm &term : dim.terms()) {
    terms.push_back(
        {floor_div_int(term.coefficient, coefficient), *divide_factors(term.factors, factors)});
  }
  return DimBuilder::make(std::move(terms));
}

Dim min_or_max(AtomKind kind, const Dim &a, const Dim &b) {
  if (const std::optional<int64_t> difference = (a - b).constant()) {
    return (*difference <= 0) == (kind == AtomKind::Min) ? a : b;
  }
  // max(max(a, b), b) is max(a, b).
  for (const auto &[outer, inner] : {std::pair(a, b), std::pair(b, a)}) {
    if (outer.terms().size() == 1 && outer.terms()[0].coefficient == 1 &&
        outer.terms()[0].factors.size() == 1 && outer.terms()[0].factors[0].kind == kind) {
      const std::vector<Dim> &operands = outer.terms()[0].factors[0].operands;
      if (operands[0] == inner || operands[1] == inner) {
        return outer;
      }
    }
  }
  return a < b ? DimBuilder::atom(kind, a, b) : DimBuilder::atom(kind, b, a);
}

std::shared_ptr<const Terms> constant_terms(int64_t value) {
  DimTerm term;
  term.coefficient = value;
  return std::make_shared<const Terms>(value == 0 ? Terms{} : Terms{std::move(term)});
}

// Sizes are mostly small numbers: those share their terms.
constexpr int64_t kSmallest = -16;
constexpr int64_t kLargest = 1024;

const std::vector<std::shared_ptr<const Terms>> &small_constants() {
  static const std::vector<std::shared_ptr<const Terms>> constants = [] {
    std::vector<std::shared_ptr<const Terms>> result;
    for (int64_t value = kSmallest; value <= kLargest; ++value) {
      result.push_back(constant_terms(value));
    }
    return result;
  }();
  return constants;
}

}  // namespace

Dim::Dim(int64_t constant)
    : terms_(constant >= kSmallest && constant <= kLargest
                 ? small_constants()[static_cast<size_t>(constant - kSmallest)]
                 : constant_terms(constant)) {}

Dim::Dim(std::vector<DimTerm> terms)
    : terms_(std::make_shared<const std::vector<DimTerm>>(std::move(terms))) {}

Dim Dim::symbol(std::string_view name) {
  DimAtom atom;
  atom.name = name;
  return DimBuilder::monomial(1, {std::move(atom)});
}

bool Dim::is_constant() const {
  return terms_->empty() || (terms_->size() == 1 && terms_->front().factors.empty());
}

std::optional<int64_t> Dim::constant() const {
  if (!is_constant()) {
    return std::nullopt;
  }
  return terms_->empty() ? 0 : terms_->front().coefficient;
}

std::optional<std::string> Dim::as_symbol() const {
  if (terms_->size() == 1 && terms_->front().coefficient == 1 &&
      terms_->front().factors.size() == 1 && terms_->front().factors[0].kind == AtomKind::Symbol) {
    return terms_->front().factors[0].name;
  }
  return std::nullopt;
}

bool operator==(const Dim &a, const Dim &b) {
  return (a <=> b) == 0;
}

std::strong_ordering operator<=>(const Dim &a, const Dim &b) {
  if (a.terms_ == b.terms_) {
    return std::strong_ordering::equal;
  }
  const Terms &left = *a.terms_;
  const Terms &right = *b.terms_;
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (const std::strong_ordering order = compare_factors(left[i].factors, right[i].factors);
        order != 0) {
      return order;
    }
    if (left[i].coefficient != right[i].coefficient) {
      return left[i].coefficient <=> right[i].coefficient;
    }
  }
  return left.size() <=> right.size();
}

Dim operator+(const Dim &a, const Dim &b) {
  if (const auto x = a.constant(), y = b.constant(); x && y) {
    return Dim(checked_add(*x, *y));
  }
  Terms terms = a.terms();
  terms.insert(terms.end(), b.terms().begin(), b.terms().end());
  return DimBuilder::make(std::move(terms));
}

Dim operator-(const Dim &a, const Dim &b) {
  int64_t difference = 0;
  if (const auto x = a.constant(), y = b.constant();
      x && y && !__builtin_sub_overflow(*x, *y, &difference)) {
    return Dim(difference);
  }
  Terms terms = a.terms();
  for (DimTerm term : b.terms()) {
    term.coefficient = checked_mul(term.coefficient, -1);
    terms.push_back(std::move(term));
  }
  return DimBuilder::make(std::move(terms));
}

Dim operator*(const Dim &a, const Dim &b) {
  if (const auto x = a.constant(), y = b.constant(); x && y) {
    return Dim(checked_mul(*x, *y));
  }
  if (a.terms().size() * b.terms().size() > kMaxTerms * 4) {
    throw DimOverflow("a size is a sum of too many terms");
  }
  Terms terms;
  for (const DimTerm &x : a.terms()) {
    for (const DimTerm &y : b.terms()) {
      DimTerm term;
      term.coefficient = checked_mul(x.coefficient, y.coefficient);
      if (x.factors.size() + y.factors.size() > kMaxFactors) {
        throw DimOverflow("a size is a product of too many factors");
      }
      std::merge(x.factors.begin(), x.factors.end(), y.factors.begin(), y.factors.end(),
                 std::back_inserter(term.factors),
                 [](const DimAtom &p, const DimAtom &q) { return compare_atoms(p, q) < 0; });
      terms.push_back(std::move(term));
    }
  }
  return DimBuilder::make(std::move(terms));
}

std::optional<Dim> exact_div(const Dim &a, const Dim &b) {
  if (b.is(0)) {
    return std::nullopt;
  }
  const DimTerm divisor = leading_term(b);
  Dim rest = a;
  Dim quotient = 0;
  // Long division; each step removes the leading term of what is left.
  for (size_t step = 0; step <= kMaxTerms; ++step) {
    if (rest.is(0)) {
      return quotient;
    }
    const DimTerm &leading = leading_term(rest);
    std::optional<Factors> factors = divide_factors(leading.factors, divisor.factors);
    if (!factors || (divisor.coefficient != -1 && leading.coefficient % divisor.coefficient != 0)) {
      return std::nullopt;
    }
    const Dim part = DimBuilder::monomial(floor_div_int(leading.coefficient, divisor.coefficient),
                                          std::move(*factors));
    quotient += part;
    rest = rest - part * b;
  }
  return std::nullopt;
}

Dim floor_div(const Dim &a, const Dim &b) {
  if (b.is(0)) {
    throw DimOverflow("a size is divided by zero");
  }
  if (const auto x = a.constant(), y = b.constant(); x && y) {
    return Dim(floor_div_int(*x, *y));
  }
  if (std::optional<Dim> quotient = exact_div(a, b)) {
    return *quotient;
  }
  if (const std::optional<int64_t> divisor = b.constant(); divisor && *divisor < 0) {
    return floor_div(-a, -b);
  }
  // (c*a) / (c*b) is a / b.
  const Factors factors = common_factors(a, b);
  const int64_t coefficient = common_coefficient(a, b);
  if (coefficient != 1 || !factors.empty()) {
    return floor_div(divide_by_monomial(a, coefficient, factors),
                     divide_by_monomial(b, coefficient, factors));
  }
  // (b*q + r) / b is q + r / b.
  if (b.terms().size() == 1) {
    const DimTerm &divisor = b.terms()[0];
    Terms whole;
    Terms rest;
    for (const DimTerm &term : a.terms()) {
      std::optional<Factors> left = divide_factors(term.factors, divisor.factors);
      const int64_t quotient = left ? floor_div_int(term.coefficient, divisor.coefficient) : 0;
      if (quotient != 0) {
        whole.push_back({quotient, *left});
      }
      rest.push_back({checked_add(term.coefficient, -checked_mul(quotient, divisor.coefficient)),
                      term.factors});
    }
    if (!whole.empty()) {
      return DimBuilder::make(std::move(whole)) + floor_div(DimBuilder::make(std::move(rest)), b);
    }
    // (x / m) / n is x / (m*n).
    const Terms &terms = a.terms();
    if (b.is_constant() && terms.size() == 1 && terms[0].coefficient == 1 &&
        terms[0].factors.size() == 1 && terms[0].factors[0].kind == AtomKind::FloorDiv) {
      const std::vector<Dim> &inner = terms[0].factors[0].operands;
      if (const std::optional<int64_t> m = inner[1].constant(); m && *m > 0) {
        return floor_div(inner[0], inner[1] * b);
      }
    }
  }
  return DimBuilder::atom(AtomKind::FloorDiv, a, b);
}

Dim ceil_div(const Dim &a, const Dim &b) {
  if (std::optional<Dim> quotient = exact_div(a, b)) {
    return *quotient;
  }
  return floor_div(a + b - 1, b);
}

Dim modulo(const Dim &a, const Dim &b) {
  return a - b * floor_div(a, b);
}

Dim min(const Dim &a, const Dim &b) {
  return min_or_max(AtomKind::Min, a, b);
}

Dim max(const Dim &a, const Dim &b) {
  return min_or_max(AtomKind::Max, a, b);
}

namespace {

void collect_symbols(const Dim &dim, std::set<std::string> &names) {
  for (const DimTerm &term : dim.terms()) {
    for (const DimAtom &atom : term.factors) {
      if (atom.kind == AtomKind::Symbol) {
        names.insert(atom.name);
      }
      for (const Dim &operand : atom.operands) {
        collect_symbols(operand, names);
      }
    }
  }
}

Dim rebuild(AtomKind kind, const Dim &a, const Dim &b) {
  switch (kind) {
    case AtomKind::FloorDiv:
      return floor_div(a, b);
    case AtomKind::Min:
      return min(a, b);
    default:
      return max(a, b);
  }
}

}  // namespace

std::set<std::string> symbols_of(const Dim &dim) {
  std::set<std::string> names;
  collect_symbols(dim, names);
  return names;
}

bool mentions(const Dim &dim, std::string_view symbol) {
  for (const DimTerm &term : dim.terms()) {
    for (const DimAtom &atom : term.factors) {
      if (atom.kind == AtomKind::Symbol) {
        if (atom.name == symbol) {
          return true;
        }
      } else if (mentions(atom.operands[0], symbol) || mentions(atom.operands[1], symbol)) {
        return true;
      }
    }
  }
  return false;
}

Dim substitute(const Dim &dim, const std::map<std::string, Dim> &replacements) {
  if (dim.is_constant()) {
    return dim;
  }
  Dim sum = 0;
  for (const DimTerm &term : dim.terms()) {
    Dim product = term.coefficient;
    for (const DimAtom &atom : term.factors) {
      if (atom.kind == AtomKind::Symbol) {
        const auto found = replacements.find(atom.name);
        product *= found == replacements.end() ? Dim::symbol(atom.name) : found->second;
      } else {
        product *= rebuild(atom.kind, substitute(atom.operands[0], replacements),
                           substitute(atom.operands[1], replacements));
      }
    }
    sum += product;
  }
  return sum;
}

int64_t evaluate(const Dim &dim, const std::map<std::string, int64_t> &values) {
  int64_t sum = 0;
  for (const DimTerm &term : dim.terms()) {
    int64_t product = term.coefficient;
    for (const DimAtom &atom : term.factors) {
      int64_t value = 0;
      if (atom.kind == AtomKind::Symbol) {
        const auto found = values.find(atom.name);
        if (found == values.end()) {
          throw std::out_of_range("size '" + atom.name + "' has no value");
        }
        value = found->second;
      } else {
        const int64_t a = evaluate(atom.operands[0], values);
        const int64_t b = evaluate(atom.operands[1], values);
        value = atom.kind == AtomKind::FloorDiv ? floor_div_int(a, b)
                : atom.kind == AtomKind::Min    ? std::min(a, b)
                                                : std::max(a, b);
      }
      product = checked_mul(product, value);
    }
    sum = checked_add(sum, product);
  }
  return sum;
}

Dim element_count(const Shape &shape) {
  Dim count = 1;
  for (const Dim &dim : shape) {
    count *= dim;
  }
  return count;
}

std::string to_string(const Shape &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + shape[i].str();
  }
  return text + "]";
}

std::optional<std::vector<int64_t>> static_shape(const Shape &shape) {
  std::vector<int64_t> sizes;
  for (const Dim &dim : shape) {
    const std::optional<int64_t> size = dim.constant();
    if (!size) {
      return std::nullopt;
    }
    sizes.push_back(*size);
  }
  return sizes;
}

// ---- text ----

namespace {

bool is_plain_name(std::string_view name) {
  if (name.empty() || name == "floor_div" || name == "min" || name == "max" || name == "inf") {
    return false;
  }
  const auto letter = [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
  };
  return letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
           return letter(c) || c == '.' || (c >= '0' && c <= '9');
         });
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') {
      text += '\\';
    }
    text += c;
  }
  return text + "\"";
}

std::string atom_text(const DimAtom &atom) {
  static constexpr const char *kNames[] = {"", "floor_div", "min", "max"};
  if (atom.kind == AtomKind::Symbol) {
    return is_plain_name(atom.name) ? atom.name : quoted(atom.name);
  }
  return std::string(kNames[static_cast<size_t>(atom.kind)]) + "(" + atom.operands[0].str() + ", " +
         atom.operands[1].str() + ")";
}

// Recursive descent over sum, product, factor.
class DimParser {
 public:
  DimParser(std::string_view text, size_t position) : text_(text), position_(position) {}

  Dim sum(int depth) {
    if (depth > kMaxDepth) {
      fail("an expression that is less deeply nested");
    }
    Dim result = accept('-') ? -product(depth) : product(depth);
    while (true) {
      if (accept('+')) {
        result += product(depth);
      } else if (accept('-')) {
        result = result - product(depth);
      } else {
        return result;
      }
    }
  }

  void skip_space() {
    while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_]))) {
      ++position_;
    }
  }

  size_t position() const { return position_; }

  [[noreturn]] void fail(const std::string &expected) const {
    throw std::invalid_argument("expected " + expected);
  }

 private:
  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  bool accept(char c) {
    const size_t start = position_;
    skip_space();
    if (peek() == c && c != '\0') {
      ++position_;
      return true;
    }
    position_ = start;
    return false;
  }

  void expect(char c) {
    if (!accept(c)) {
      skip_space();
      fail(std::string("'") + c + "'");
    }
  }

  Dim product(int depth) {
    Dim result = factor(depth);
    while (accept('*')) {
      result *= factor(depth);
    }
    return result;
  }

  Dim factor(int depth) {
    skip_space();
    const char c = peek();
    if (c == '(') {
      ++position_;
      const Dim inner = sum(depth + 1);
      expect(')');
      return inner;
    }
    if (c >= '0' && c <= '9') {
      return number();
    }
    if (c == '-') {
      ++position_;
      return -factor(depth + 1 > kMaxDepth ? (fail("a number or a name"), 0) : depth + 1);
    }
    if (c == '"') {
      return quoted_symbol();
    }
    const size_t start = position_;
    while (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_' || peek() == '.') {
      ++position_;
    }
    const std::string_view name = text_.substr(start, position_ - start);
    if (name.empty()) {
      fail("a number, a name or a parenthesis");
    }
    for (const auto &[function, kind] :
         {std::pair<std::string_view, AtomKind>{"floor_div", AtomKind::FloorDiv},
          {"min", AtomKind::Min},
          {"max", AtomKind::Max}}) {
      if (name == function && accept('(')) {
        const Dim a = sum(depth + 1);
        expect(',');
        const Dim b = sum(depth + 1);
        expect(')');
        return rebuild(kind, a, b);
      }
    }
    return Dim::symbol(name);
  }

  Dim number() {
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = checked_add(checked_mul(value, 10), peek() - '0');
      ++position_;
    }
    return Dim(value);
  }

  Dim quoted_symbol() {
    std::string name;
    for (++position_; peek() != '"'; ++position_) {
      if (peek() == '\\') {
        ++position_;
      }
      if (position_ >= text_.size()) {
        fail("a closing quote");
      }
      name += peek();
    }
    ++position_;
    return Dim::symbol(name);
  }

  std::string_view text_;
  size_t position_;
};

}  // namespace

std::string Dim::str() const {
  if (terms_->empty()) {
    return "0";
  }
  std::string text;
  for (const DimTerm &term : *terms_) {
    const bool negative = term.coefficient < 0;
    text += text.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    bool first = true;
    for (const DimAtom &atom : term.factors) {
      text += (first ? "" : "*") + atom_text(atom);
      first = false;
    }
    const uint64_t size = magnitude(term.coefficient);
    if (first) {
      text += std::to_string(size);
    } else if (size != 1) {
      text += "*" + std::to_string(size);
    }
  }
  return text;
}

Dim parse_dim_prefix(std::string_view text, size_t &position) {
  DimParser parser(text, position);
  try {
    Dim dim = parser.sum(0);
    position = parser.position();
    return dim;
  } catch (const DimOverflow &error) {
    throw std::invalid_argument(error.what());
  } catch (const std::invalid_argument &) {
    position = parser.position();
    throw;
  }
}

Dim parse_dim(std::string_view text) {
  size_t position = 0;
  try {
    Dim dim = parse_dim_prefix(text, position);
    DimParser rest(text, position);
    rest.skip_space();
    position = rest.position();
    if (position != text.size()) {
      rest.fail("the end");
    }
    return dim;
  } catch (const std::invalid_argument &error) {
    throw std::invalid_argument(std::string(error.what()) + " at position " +
                                std::to_string(position) + " of '" + std::string(text) + "'");
  }
}

// ---- ranges ----

void SymbolTable::declare(const std::string &name, SymbolInfo info) {
  const auto [found, inserted] = symbols_.emplace(name, info);
  if (inserted) {
    return;
  }
  SymbolInfo &known = found->second;
  known.lower = std::max(known.lower, info.lower);
  if (info.upper && (!known.upper || *info.upper < *known.upper)) {
    known.upper = info.upper;
  }
}

const SymbolInfo *SymbolTable::find(const std::string &name) const {
  const auto found = symbols_.find(name);
  return found == symbols_.end() ? nullptr : &found->second;
}

std::string SymbolTable::fresh_name(const std::string &base) const {
  std::string name = base;
  for (int i = 2; symbols_.count(name) != 0; ++i) {
    name = base + "_" + std::to_string(i);
  }
  return name;
}

namespace {

// A bound is a number or nothing (infinite, or too large to say).
using Bound = std::optional<int64_t>;

struct Interval {
  Bound lower, upper;
};

Bound add_bounds(Bound a, Bound b) {
  int64_t result = 0;
  if (!a || !b || __builtin_add_overflow(*a, *b, &result)) {
    return std::nullopt;
  }
  return result;
}

Bound mul_bounds(Bound a, Bound b) {
  int64_t result = 0;
  if (!a || !b || __builtin_mul_overflow(*a, *b, &result)) {
    return std::nullopt;
  }
  return result;
}

Interval scale(const Interval &interval, int64_t factor) {
  if (factor == 0) {
    return {0, 0};
  }
  const Bound a = mul_bounds(interval.lower, factor);
  const Bound b = mul_bounds(interval.upper, factor);
  return factor > 0 ? Interval{a, b} : Interval{b, a};
}

Interval multiply(const Interval &a, const Interval &b) {
  if (a.lower && b.lower && *a.lower >= 0 && *b.lower >= 0) {
    return {mul_bounds(a.lower, b.lower), mul_bounds(a.upper, b.upper)};
  }
  if (!a.lower || !a.upper || !b.lower || !b.upper) {
    return {};
  }
  Interval result;
  bool first = true;
  for (const int64_t x : {*a.lower, *a.upper}) {
    for (const int64_t y : {*b.lower, *b.upper}) {
      int64_t product = 0;
      if (__builtin_mul_overflow(x, y, &product)) {
        return {};
      }
      result.lower = first ? product : std::min(*result.lower, product);
      result.upper = first ? product : std::max(*result.upper, product);
      first = false;
    }
  }
  return result;
}

Interval divide(const Interval &a, const Interval &b) {
  if (!b.lower || *b.lower <= 0) {
    return {};
  }
  Interval result;
  if (a.lower) {
    if (*a.lower < 0) {
      result.lower = floor_div_int(*a.lower, *b.lower);
    } else {
      result.lower = b.upper ? *a.lower / *b.upper : 0;
    }
  }
  if (a.upper) {
    if (*a.upper >= 0) {
      result.upper = *a.upper / *b.lower;
    } else {
      result.upper = b.upper ? floor_div_int(*a.upper, *b.upper) : -1;
    }
  }
  return result;
}

using Symbols = std::map<std::string, SymbolInfo>;

Interval interval_of(const Dim &dim, const Symbols &symbols);

Interval interval_of(const DimAtom &atom, const Symbols &symbols) {
  if (atom.kind == AtomKind::Symbol) {
    const auto found = symbols.find(atom.name);
    return found == symbols.end() ? Interval{} : Interval{found->second.lower, found->second.upper};
  }
  const Interval a = interval_of(atom.operands[0], symbols);
  const Interval b = interval_of(atom.operands[1], symbols);
  if (atom.kind == AtomKind::FloorDiv) {
    return divide(a, b);
  }
  const bool is_min = atom.kind == AtomKind::Min;
  const auto both = [is_min](Bound x, Bound y) -> Bound {
    return x && y ? Bound(is_min ? std::min(*x, *y) : std::max(*x, *y)) : std::nullopt;
  };
  const auto either = [is_min](Bound x, Bound y) -> Bound {
    if (x && y) {
      return is_min ? std::min(*x, *y) : std::max(*x, *y);
    }
    return x ? x : y;
  };
  return is_min ? Interval{both(a.lower, b.lower), either(a.upper, b.upper)}
                : Interval{either(a.lower, b.lower), both(a.upper, b.upper)};
}

Interval interval_of(const Dim &dim, const Symbols &symbols) {
  Interval sum{0, 0};
  for (const DimTerm &term : dim.terms()) {
    Interval product{1, 1};
    for (const DimAtom &atom : term.factors) {
      product = multiply(product, interval_of(atom, symbols));
    }
    product = scale(product, term.coefficient);
    sum = {add_bounds(sum.lower, product.lower), add_bounds(sum.upper, product.upper)};
  }
  return sum;
}

Bound best_lower(Bound a, Bound b) {
  if (a && b) {
    return std::max(*a, *b);
  }
  return a ? a : b;
}

// The interval after moving each symbol to start at zero: batch*length - batch with both >= 1
// becomes (1+b)(1+l) - (1+b) = l + b*l, which plainly is not negative.
Bound shifted_lower(const Dim &dim, const Symbols &symbols) {
  std::map<std::string, Dim> shifts;
  Symbols moved;
  for (const std::string &name : symbols_of(dim)) {
    const auto found = symbols.find(name);
    if (found == symbols.end()) {
      continue;
    }
    SymbolInfo info = found->second;
    if (info.lower != 0) {
      shifts[name] = Dim::symbol(name) + info.lower;
      if (info.upper) {
        info.upper = add_bounds(info.upper, mul_bounds(info.lower, -1));
      }
      info.lower = 0;
    }
    moved[name] = info;
  }
  return shifts.empty() ? std::nullopt : interval_of(substitute(dim, shifts), moved).lower;
}

// Bounds of a sum in which opaque terms are correlated with the rest: x - 2*floor_div(x, 2) >= 0.
// One opaque term at a time is replaced by what bounds it: floor_div(a, c) <= a/c and >= (a - c +
// 1)/c for a constant c; min and max are one of their operands. `budget` bounds the work.
Bound lower_of(const Dim &dim, const Symbols &symbols, int &budget) {
  Bound best = interval_of(dim, symbols).lower;
  if (dim.is_constant() || --budget <= 0) {
    return best;
  }
  best = best_lower(best, shifted_lower(dim, symbols));
  for (size_t i = 0; i < dim.terms().size(); ++i) {
    const DimTerm &term = dim.terms()[i];
    if (term.factors.size() != 1 || term.factors[0].kind == AtomKind::Symbol) {
      continue;
    }
    const DimAtom &atom = term.factors[0];
    const Dim rest = dim - DimBuilder::monomial(term.coefficient, {atom});
    const Dim &a = atom.operands[0];
    const Dim &b = atom.operands[1];
    if (atom.kind == AtomKind::FloorDiv) {
      const Bound divisor = b.constant();
      if (!divisor || *divisor <= 0) {
        continue;
      }
      const Dim bounded = term.coefficient > 0 ? a - *divisor + 1 : a;
      const Bound scaled = lower_of(rest * *divisor + bounded * term.coefficient, symbols, budget);
      if (scaled) {
        best = best_lower(best, -floor_div_int(-*scaled, *divisor));
      }
    } else {
      const Bound x = lower_of(rest + a * term.coefficient, symbols, budget);
      const Bound y = lower_of(rest + b * term.coefficient, symbols, budget);
      // c*max(a, b) with c > 0 is at least both; with c < 0 it is at least the smaller of the two.
      if ((atom.kind == AtomKind::Max) == (term.coefficient > 0)) {
        best = best_lower(best, best_lower(x, y));
      } else if (x && y) {
        best = best_lower(best, std::min(*x, *y));
      }
    }
    break;  // the recursion takes the next one
  }
  return best;
}

}  // namespace

std::optional<int64_t> SymbolTable::lower_bound(const Dim &dim) const {
  if (const std::optional<int64_t> constant = dim.constant()) {
    return constant;
  }
  try {
    int budget = 64;
    return lower_of(dim, symbols_, budget);
  } catch (const DimOverflow &) {
    return std::nullopt;
  }
}

std::optional<int64_t> SymbolTable::upper_bound(const Dim &dim) const {
  try {
    const std::optional<int64_t> bound = lower_bound(-dim);
    return bound ? mul_bounds(bound, -1) : std::nullopt;
  } catch (const DimOverflow &) {
    return std::nullopt;
  }
}

bool prove_equal(const Dim &a, const Dim &b, const SymbolTable &symbols) {
  if (a == b) {
    return true;
  }
  return prove_le(a, b, symbols) && prove_le(b, a, symbols);
}

bool prove_le(const Dim &a, const Dim &b, const SymbolTable &symbols) {
  try {
    const std::optional<int64_t> bound = symbols.lower_bound(b - a);
    return bound && *bound >= 0;
  } catch (const DimOverflow &) {
    return false;
  }
}

Dim simplify(const Dim &dim, const SymbolTable &symbols) {
  Dim sum = 0;
  for (const DimTerm &term : dim.terms()) {
    Dim product = term.coefficient;
    for (const DimAtom &atom : term.factors) {
      if (atom.kind == AtomKind::Symbol) {
        const SymbolInfo *info = symbols.find(atom.name);
        product *= info && info->upper == info->lower ? Dim(info->lower) : Dim::symbol(atom.name);
        continue;
      }
      const Dim a = simplify(atom.operands[0], symbols);
      const Dim b = simplify(atom.operands[1], symbols);
      if (atom.kind != AtomKind::FloorDiv && prove_le(a, b, symbols)) {
        product *= atom.kind == AtomKind::Min ? a : b;
      } else if (atom.kind != AtomKind::FloorDiv && prove_le(b, a, symbols)) {
        product *= atom.kind == AtomKind::Min ? b : a;
      } else {
        const Dim rebuilt = rebuild(atom.kind, a, b);
        const std::optional<int64_t> lower = symbols.lower_bound(rebuilt);
        product *= lower && lower == symbols.upper_bound(rebuilt) ? Dim(*lower) : rebuilt;
      }
    }
    sum += product;
  }
  return sum;
}

}  // namespace sylvite
