// The key of a kernel: everything that its object depends on, as text, hashed. Values are numbered
// in order, symbols renamed in order of first appearance, names and sources left out: equal layers
// of a model get equal keys, and one object.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <map>
#include <sstream>
#include <type_traits>
#include <variant>

#include "compiler/ir/error.h"
#include "compiler/kernels/kernels.h"
#include "compiler/kernels/region.h"
#include "generated/version.h"

namespace sylvite {
namespace {

std::string hash_of(const void *data, size_t size) {
  const XXH128_hash_t hash = XXH3_128bits(data, size);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

class CanonicalText {
 public:
  explicit CanonicalText(const std::vector<std::string> &symbols) {
    for (size_t i = 0; i < symbols.size(); ++i) {
      names_[symbols[i]] = Dim::symbol("s" + std::to_string(i));
    }
  }

  void write(const Graph &graph) {
    out_ << "(";
    for (const Value *input : graph.inputs()) {
      declare(input);
    }
    out_ << ")";
    for (const auto &node : graph.nodes()) {
      out_ << name_of(node->op);
      for (const Value *input : node->inputs) {
        out_ << " v" << numbers_.at(input);
      }
      for (const auto &[name, value] : node->attributes.all()) {
        out_ << " " << name << "=";
        std::visit([&](const auto &attribute) { write_attribute(attribute); }, value);
      }
      for (const auto &region : node->regions) {
        out_ << "[";
        write(*region);
        out_ << "]";
      }
      for (const auto &output : node->outputs) {
        declare(output.get());
      }
      out_ << "\n";
    }
    out_ << "return";
    for (size_t i = 0; i < graph.output_count(); ++i) {
      out_ << " v" << numbers_.at(graph.output(i));
    }
  }

  std::string text() const { return out_.str(); }

 private:
  void declare(const Value *value) {
    const size_t number = numbers_.size();
    numbers_[value] = number;
    out_ << " v" << number << ":" << name_of(value->type.dtype);
    write_attribute(value->type.shape);
  }
  void write_attribute(int64_t value) { out_ << value; }
  void write_attribute(double value) { out_ << hash_of(&value, sizeof value); }
  void write_attribute(const std::string &value) { out_ << '"' << value << '"'; }
  void write_attribute(DType value) { out_ << name_of(value); }
  void write_attribute(const std::vector<int64_t> &values) {
    for (const int64_t value : values) {
      out_ << value << ",";
    }
  }
  void write_attribute(const std::vector<Dim> &values) {
    out_ << "{";
    for (const Dim &value : values) {
      out_ << substitute(value, names_).str() << ",";
    }
    out_ << "}";
  }
  void write_attribute(const TensorPtr &value) {
    out_ << name_of(value->dtype());
    write_attribute(value->shape());
    out_ << hash_of(value->bytes().data(), value->bytes().size());
  }

  std::ostringstream out_;
  std::map<std::string, Dim> names_;
  std::map<const Value *, size_t> numbers_;
};

}  // namespace

std::string kernel_key(const Node &kernel, Isa isa, bool sanitize) {
  const Graph &region = *kernel.regions[0];
  CanonicalText canonical(symbols_of_region(region));
  canonical.write(region);
  const Schedule schedule = choose_schedule(region, isa);
  std::ostringstream text;
  text << canonical.text() << "\n"
       << name_of(isa) << (sanitize ? " sanitized " : " ") << schedule.tile_rows << " "
       << schedule.tile_columns << " " << schedule.vector_lanes << " Halide "
       << SYLVITE_HALIDE_VERSION << " " << SYLVITE_KERNEL_BUILD;
  const std::string all = text.str();
  return hash_of(all.data(), all.size());
}

}  // namespace sylvite
