// Parses the text form: one character of lookahead, one function a grammar rule (docs/ir.md). Nodes
// are built through Graph::add, so a text that breaks a shape rule is refused with its line.
#include <charconv>
#include <cstdlib>
#include <limits>
#include <map>
#include <stdexcept>
#include <unordered_map>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "compiler/ir/text_names.h"

namespace sylvite {
namespace {

constexpr int kMaxRegionDepth = 16;
constexpr int64_t kMaxConstantElements = int64_t{1} << 24;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::unique_ptr<Graph> parse() {
    std::unique_ptr<Graph> result = graph(nullptr, 0);
    skip_space();
    if (position_ != text_.size()) {
      fail("expected the end of the text");
    }
    return result;
  }

 private:
  using Values = std::unordered_map<std::string, Value *>;

  // ---- characters ----

  [[noreturn]] void fail(const std::string &message) const { fail_at(position_, message); }

  [[noreturn]] void fail_at(size_t position, const std::string &message) const {
    size_t line = 1;
    size_t column = 1;
    for (const char c : text_.substr(0, position)) {
      line += c == '\n';
      column = c == '\n' ? 1 : column + 1;
    }
    throw_model_error("line ", line, ", column ", column, ": ", message);
  }

  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  void skip_space() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++position_;
      } else if (text_.substr(position_, 2) == "//") {
        while (position_ < text_.size() && text_[position_] != '\n') {
          ++position_;
        }
      } else {
        return;
      }
    }
  }

  bool accept(std::string_view token) {
    skip_space();
    if (text_.substr(position_, token.size()) != token) {
      return false;
    }
    position_ += token.size();
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) {
      fail("expected '" + std::string(token) + "'");
    }
  }

  // A bare word at the cursor, which does not move; empty if there is none.
  std::string_view next_word() {
    skip_space();
    size_t end = position_;
    if (end < text_.size() && is_name_start(text_[end])) {
      while (end < text_.size() && is_name_character(text_[end])) {
        ++end;
      }
    }
    return text_.substr(position_, end - position_);
  }

  bool accept_word(std::string_view word) {
    if (next_word() != word) {
      return false;
    }
    position_ += word.size();
    return true;
  }

  std::string word(const char *what) {
    const std::string_view found = next_word();
    if (found.empty()) {
      fail(std::string("expected ") + what);
    }
    position_ += found.size();
    return std::string(found);
  }

  std::string quoted() {
    skip_space();
    if (peek() != '"') {
      fail("expected a quoted text");
    }
    std::string result;
    for (++position_; peek() != '"'; ++position_) {
      bool escaped = false;
      if (peek() == '\\') {
        ++position_;
        escaped = true;
      }
      if (position_ >= text_.size()) {
        fail("expected a closing quote");
      }
      result += escaped && peek() == 'n' ? '\n' : peek();
    }
    ++position_;
    return result;
  }

  std::string name(const char *what) {
    skip_space();
    return peek() == '"' ? quoted() : word(what);
  }

  // The characters of a number, inf and nan included.
  std::string number_text() {
    skip_space();
    size_t end = position_;
    while (end < text_.size() &&
           (is_name_character(text_[end]) || text_[end] == '-' || text_[end] == '+')) {
      ++end;
    }
    std::string result(text_.substr(position_, end - position_));
    if (result.empty()) {
      fail("expected a number");
    }
    return result;
  }

  template <typename T>
  T integer_as() {
    const std::string digits = number_text();
    T value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      fail("expected an integer, found '" + digits + "'");
    }
    position_ += digits.size();
    return value;
  }

  int64_t integer() { return integer_as<int64_t>(); }

  // Rounded once, to T: reading a float through a double would round twice.
  template <typename T>
  T real_as() {
    const std::string digits = number_text();
    T value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      fail("expected a number, found '" + digits + "'");
    }
    position_ += digits.size();
    return value;
  }

  Dim dim() {
    skip_space();
    try {
      return parse_dim_prefix(text_, position_);
    } catch (const std::invalid_argument &error) {
      fail(error.what());
    }
  }

  std::vector<Dim> dims() {
    std::vector<Dim> result;
    expect("[");
    if (accept("]")) {
      return result;
    }
    do {
      result.push_back(dim());
    } while (accept(","));
    expect("]");
    return result;
  }

  DType dtype() {
    skip_space();
    const size_t start = position_;
    const std::string text = word("an element type");
    const std::optional<DType> result = parse_dtype(text);
    if (!result) {
      fail_at(start, "unknown element type '" + text + "'");
    }
    return *result;
  }

  // ---- attributes ----

  Tensor tensor(DType dtype) {
    skip_space();
    const size_t start = position_;
    const std::optional<std::vector<int64_t>> shape = static_shape(dims());
    if (!shape) {
      fail_at(start, "the sizes of a constant must be numbers");
    }
    skip_space();
    if (peek() == '#') {
      fail("this constant was too large to print; its elements are not in the text");
    }
    int64_t count = 1;
    for (const int64_t size : *shape) {
      count = size < 0 || size > kMaxConstantElements ? kMaxConstantElements + 1 : count * size;
      if (count > kMaxConstantElements) {
        fail_at(start, "the constant is too large");
      }
    }
    Tensor result(dtype, *shape);
    expect("(");
    for (int64_t i = 0; i < count; ++i) {
      if (i > 0) {
        expect(",");
      }
      if (dtype == DType::F64) {
        result.set(i, real_as<double>());
      } else if (is_float(dtype)) {
        result.set(i, static_cast<double>(real_as<float>()));
      } else if (dtype == DType::U64) {
        result.set_int(i, static_cast<int64_t>(integer_as<uint64_t>()));
      } else {
        result.set_int(i, integer());
      }
    }
    expect(")");
    return result;
  }

  AttributeValue attribute() {
    skip_space();
    const char c = peek();
    if (c == '"') {
      return quoted();
    }
    if (c == '[') {
      return dims();
    }
    if (c == '(') {
      std::vector<int64_t> numbers;
      expect("(");
      if (!accept(")")) {
        do {
          numbers.push_back(integer());
        } while (accept(","));
        expect(")");
      }
      return numbers;
    }
    const std::string_view found = next_word();
    if (!found.empty() && found != "inf" && found != "nan") {
      const std::optional<DType> type = parse_dtype(found);
      position_ += found.size();
      if (!type) {
        return std::string(found);
      }
      skip_space();
      return peek() == '[' ? AttributeValue(std::make_shared<const Tensor>(tensor(*type)))
                           : AttributeValue(*type);
    }
    if (number_text().find_first_of(".en") != std::string::npos) {
      return real_as<double>();
    }
    return integer();
  }

  Attributes attributes() {
    Attributes result;
    if (!accept("{") || accept("}")) {
      return result;
    }
    do {
      skip_space();
      const size_t start = position_;
      const std::string attribute_name = name("an attribute");
      if (result.has(attribute_name)) {
        fail_at(start, "attribute '" + attribute_name + "' stands twice");
      }
      expect("=");
      result.set(attribute_name, attribute());
    } while (accept(","));
    expect("}");
    return result;
  }

  // ---- graphs ----

  std::unique_ptr<Graph> graph(Graph *parent, int depth) {
    if (depth > kMaxRegionDepth) {
      fail("regions are nested too deeply");
    }
    auto result = std::make_unique<Graph>();
    result->parent = parent;
    Values values;
    if (!accept_word("graph")) {
      fail("expected 'graph'");
    }
    skip_space();
    if (peek() != '(') {
      result->name = name("a name");
    }
    expect("(");
    if (!accept(")")) {
      do {
        skip_space();
        const size_t start = position_;
        const std::string input = name("an input");
        expect(":");
        TensorType type;
        type.dtype = dtype();
        type.shape = dims();
        Value *const value = result->add_input(input, std::move(type));
        define(values, value, input, start);
        if (accept("=")) {
          input_host(*result, *value, start);
        }
      } while (accept(","));
      expect(")");
    }
    expect("{");
    facts(*result);
    declare_sizes(*result);
    while (!accept_word("return")) {
      node(*result, values, depth);
    }
    returns(*result, values);
    expect("}");
    return result;
  }

  void define(Values &values, Value *value, const std::string &value_name, size_t position) const {
    if (!values.emplace(value_name, value).second) {
      fail_at(position, "'" + value_name + "' stands twice");
    }
    value->name = value_name;
  }

  // Symbols for the contents of an input of the outermost graph.
  void input_host(const Graph &graph, Value &input, size_t start) {
    input.host = dims();
    if (graph.parent != nullptr || is_float(input.type.dtype) ||
        !element_count(input.type.shape).is(static_cast<int64_t>(input.host->size()))) {
      fail_at(start, "only the whole numbers of a small input of the outermost graph have sizes");
    }
  }

  void facts(Graph &graph) {
    while (true) {
      const std::string_view keyword = next_word();
      const size_t start = position_;
      if (keyword != "symbol" && keyword != "guard" && keyword != "warning" &&
          keyword != "near_miss") {
        return;
      }
      const std::string which(keyword);
      position_ += keyword.size();
      if (graph.parent != nullptr) {
        fail_at(start, "'" + which + "' stands in the outermost graph only");
      }
      if (which == "symbol") {
        symbol(graph);
      } else if (which == "guard") {
        Guard guard;
        guard.left = dim();
        expect("==");
        guard.right = dim();
        guard.reason = quoted();
        graph.guards.push_back(std::move(guard));
      } else if (which == "warning") {
        graph.warnings.push_back(quoted());
      } else {
        NearMiss miss;
        miss.kind = quoted();
        miss.node = quoted();
        miss.condition = quoted();
        graph.near_misses.push_back(std::move(miss));
      }
    }
  }

  // batch in [1, inf), n in [0, 100] data
  void symbol(Graph &graph) {
    skip_space();
    const size_t start = position_;
    const std::string symbol_name = name("a size");
    if (graph.symbols.find(symbol_name) != nullptr) {
      fail_at(start, "size '" + symbol_name + "' is declared twice");
    }
    SymbolInfo info;
    if (!accept_word("in")) {
      fail("expected 'in'");
    }
    expect("[");
    info.lower = integer();
    expect(",");
    if (accept_word("inf")) {
      expect(")");
    } else {
      info.upper = integer();
      expect("]");
    }
    if (accept_word("data")) {
      info.kind = SymbolKind::Data;
    }
    graph.symbols.declare(symbol_name, info);
  }

  // Sizes of the inputs that no `symbol` line declares are at least 1; others must be declared.
  void declare_sizes(Graph &graph) {
    for (const Value *input : graph.inputs()) {
      std::vector<Dim> sizes = input->type.shape;
      if (input->host) {
        sizes.insert(sizes.end(), input->host->begin(), input->host->end());
      }
      for (const Dim &size : sizes) {
        for (const std::string &symbol_name : symbols_of(size)) {
          if (graph.parent == nullptr && graph.symbols.find(symbol_name) == nullptr) {
            graph.symbols.declare(symbol_name, {SymbolKind::Input, 1, std::nullopt});
          }
        }
        require_declared(graph, size);
      }
    }
    for (const Guard &guard : graph.guards) {
      require_declared(graph, guard.left);
      require_declared(graph, guard.right);
    }
  }

  void require_declared(const Graph &graph, const Dim &size) const {
    for (const std::string &symbol_name : symbols_of(size)) {
      if (graph.symbol_table().find(symbol_name) == nullptr) {
        fail("size '" + symbol_name + "' is not declared");
      }
    }
  }

  void node(Graph &graph, Values &values, int depth) {
    skip_space();
    const size_t start = position_;
    std::vector<std::string> results;
    do {
      results.push_back(name("a result, 'return' or '}'"));
    } while (accept(","));
    expect("=");
    skip_space();
    const size_t op_position = position_;
    const std::string op_name = word("an op");
    const std::optional<Op> op = parse_op(op_name);
    if (!op) {
      fail_at(op_position, "unknown op '" + op_name + "'");
    }
    std::vector<Value *> inputs;
    const bool parenthesis = accept("(");  // leaves may do without
    if (!parenthesis && class_of(*op) != OpClass::Leaf) {
      fail("expected '('");
    }
    if (parenthesis && !accept(")")) {
      do {
        inputs.push_back(value(values));
      } while (accept(","));
      expect(")");
    }
    Attributes node_attributes = attributes();
    for (const auto &[attribute_name, attribute] : node_attributes.all()) {
      if (const std::vector<Dim> *sizes = std::get_if<std::vector<Dim>>(&attribute)) {
        for (const Dim &size : *sizes) {
          require_declared(graph, size);
        }
      }
    }
    std::vector<std::unique_ptr<Graph>> regions;
    if (accept("[")) {
      do {
        regions.push_back(this->graph(&graph, depth + 1));
      } while (accept(","));
      expect("]");
    }
    std::vector<std::string> sources;
    if (accept("@")) {
      do {
        sources.push_back(quoted());
      } while (accept(","));
    }
    Node *added = nullptr;
    try {
      added = graph.add(*op, std::move(inputs), std::move(node_attributes), std::move(regions),
                        std::move(sources));
    } catch (const ModelError &error) {
      fail_at(start, error.what());
    }
    if (added->outputs.size() != results.size()) {
      fail_at(start, "'" + op_name + "' has " + std::to_string(added->outputs.size()) +
                         " results, " + std::to_string(results.size()) + " are named");
    }
    for (size_t i = 0; i < results.size(); ++i) {
      define(values, added->output(i), results[i], start);
    }
  }

  Value *value(const Values &values) {
    skip_space();
    const size_t start = position_;
    const std::string value_name = name("a value");
    const auto found = values.find(value_name);
    if (found == values.end()) {
      fail_at(start, "unknown value '" + value_name + "'");
    }
    return found->second;
  }

  void returns(Graph &graph, const Values &values) {
    skip_space();
    if (peek() == '}') {
      return;
    }
    do {
      Value *result = value(values);
      graph.add_output(accept_word("as") ? name("the output's name") : result->name, result);
    } while (accept(","));
  }

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

std::unique_ptr<Graph> parse_graph(std::string_view text) {
  return Parser(text).parse();
}

}  // namespace sylvite
