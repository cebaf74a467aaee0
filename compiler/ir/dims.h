// Symbolic integer expressions: the sizes of tensors.
//
// A Dim is a sum of products of atoms with integer coefficients, kept in one canonical form, so
// that two expressions that are equal as polynomials are equal as objects. Atoms are symbols
// ("batch") and the opaque terms floor_div, min and max, whose operands are Dims themselves.
// Arithmetic is exact in 64 bits; an overflow throws DimOverflow, which the importer reports as a
// size out of range.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sylvite {

struct DimOverflow : std::overflow_error {
  using std::overflow_error::overflow_error;
};

class Dim;

enum class AtomKind : uint8_t { Symbol, FloorDiv, Min, Max };

// What products are made of. `name` is set for symbols, `operands` (always two) for the others.
struct DimAtom {
  AtomKind kind = AtomKind::Symbol;
  std::string name;
  std::vector<Dim> operands;
};

// One product: coefficient * factors[0] * factors[1] * ... (factors sorted; repeated for powers).
struct DimTerm {
  int64_t coefficient = 0;
  std::vector<DimAtom> factors;
};

class Dim {
 public:
  Dim() : Dim(0) {}
  Dim(int64_t constant);  // NOLINT(google-explicit-constructor): a number is a size
  Dim(int constant) : Dim(static_cast<int64_t>(constant)) {}  // NOLINT(google-explicit-constructor)
  static Dim symbol(std::string_view name);

  // The canonical sum; the constant term, if any, has no factors and stands last. Zero has no
  // terms.
  const std::vector<DimTerm> &terms() const { return *terms_; }

  bool is_constant() const;
  std::optional<int64_t> constant() const;
  bool is(int64_t value) const { return constant() == value; }
  // The symbol's name when this is exactly one symbol with coefficient 1.
  std::optional<std::string> as_symbol() const;

  // `batch*197 + 1`, `floor_div(h, 16)`, `max(a, b)`; parse_dim reads it back.
  std::string str() const;

  friend bool operator==(const Dim &a, const Dim &b);
  friend std::strong_ordering operator<=>(const Dim &a, const Dim &b);
  friend Dim operator+(const Dim &a, const Dim &b);
  friend Dim operator-(const Dim &a, const Dim &b);
  friend Dim operator*(const Dim &a, const Dim &b);
  Dim operator-() const { return Dim(0) - *this; }
  Dim &operator+=(const Dim &other) { return *this = *this + other; }
  Dim &operator*=(const Dim &other) { return *this = *this * other; }

 private:
  explicit Dim(std::vector<DimTerm> terms);
  friend class DimBuilder;
  std::shared_ptr<const std::vector<DimTerm>> terms_;
};

// floor(a / b). Simplifies exact quotients (b*L / b, constant divisors of every coefficient).
Dim floor_div(const Dim &a, const Dim &b);
Dim ceil_div(const Dim &a, const Dim &b);
Dim modulo(const Dim &a, const Dim &b);  // a - b * floor_div(a, b)
Dim min(const Dim &a, const Dim &b);
Dim max(const Dim &a, const Dim &b);
// a / b where b provably divides a as a polynomial; nothing otherwise.
std::optional<Dim> exact_div(const Dim &a, const Dim &b);

// Reads str()'s form; throws std::invalid_argument with a position on anything else.
Dim parse_dim(std::string_view text);
// Reads the expression that starts at `position` and moves `position` behind it (or to what is
// wrong).
Dim parse_dim_prefix(std::string_view text, size_t &position);

std::set<std::string> symbols_of(const Dim &dim);
bool mentions(const Dim &dim, std::string_view symbol);
Dim substitute(const Dim &dim, const std::map<std::string, Dim> &replacements);
// Throws std::out_of_range for a symbol that has no value.
int64_t evaluate(const Dim &dim, const std::map<std::string, int64_t> &values);

using Shape = std::vector<Dim>;
Dim element_count(const Shape &shape);
std::string to_string(const Shape &shape);  // [batch, 197, 768]
// The numbers of a fully static shape; nothing otherwise.
std::optional<std::vector<int64_t>> static_shape(const Shape &shape);

enum class SymbolKind : uint8_t {
  Input,  // read off the caller's tensors
  Data,   // a number that the graph computes at run time
};

struct SymbolInfo {
  SymbolKind kind = SymbolKind::Input;
  int64_t lower = 0;  // always known
  std::optional<int64_t> upper;
};

// The symbols of a graph and what is known of them.
class SymbolTable {
 public:
  // Declares or narrows a symbol.
  void declare(const std::string &name, SymbolInfo info);
  const SymbolInfo *find(const std::string &name) const;
  const std::map<std::string, SymbolInfo> &all() const { return symbols_; }
  void erase(const std::string &name) { symbols_.erase(name); }
  // A name that is not yet taken: base, base_2, base_3, ...
  std::string fresh_name(const std::string &base) const;

  // Bounds that hold for every value of the symbols; nothing where none is known.
  std::optional<int64_t> lower_bound(const Dim &dim) const;
  std::optional<int64_t> upper_bound(const Dim &dim) const;

 private:
  std::map<std::string, SymbolInfo> symbols_;
};

// The questions that passes ask: true means proved, false means unknown.
bool prove_equal(const Dim &a, const Dim &b, const SymbolTable &symbols);
bool prove_le(const Dim &a, const Dim &b, const SymbolTable &symbols);
// The same number for all values of the symbols, with the min, max and floor_div terms that ranges
// decide replaced: max(batch, 0) is batch.
Dim simplify(const Dim &dim, const SymbolTable &symbols);

}  // namespace sylvite
