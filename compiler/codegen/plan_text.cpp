// The plan as text (--emit=plan): for people, and for the goldens of tests/codegen.
#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"

namespace sylvite {
namespace {

std::string numbers(const std::vector<int> &buffers) {
  std::string text;
  for (const int buffer : buffers) {
    text += (text.empty() ? "b" : ", b") + std::to_string(buffer);
  }
  return text;
}

// " 12 name  type" with the columns lined up.
struct Row {
  std::string name, type, note;
};
void print_rows(std::ostringstream &out, const char *title, int first,
                const std::vector<Row> &rows) {
  if (rows.empty()) {
    return;
  }
  size_t name_width = 0, type_width = 0;
  for (const Row &row : rows) {
    name_width = std::max(name_width, row.name.size());
    type_width = std::max(type_width, row.note.empty() ? 0 : row.type.size());
  }
  out << title << '\n' << std::left;
  for (size_t i = 0; i < rows.size(); ++i) {
    out << "  " << std::setw(6) << "b" + std::to_string(first + static_cast<int>(i))
        << std::setw(static_cast<int>(name_width) + 2) << rows[i].name
        << std::setw(static_cast<int>(type_width)) << rows[i].type
        << (rows[i].note.empty() ? "" : "  ") << rows[i].note << '\n';
  }
}

std::vector<Row> rows_of(const std::vector<PlanTensor> &tensors) {
  std::vector<Row> rows;
  rows.reserve(tensors.size());
  for (const PlanTensor &tensor : tensors) {
    rows.push_back({tensor.name, to_string(tensor.type), ""});
  }
  return rows;
}

void print_buffers(std::ostringstream &out, const Plan &plan) {
  print_rows(out, "inputs", 0, rows_of(plan.inputs));
  print_rows(out, "outputs", plan.first_output(), rows_of(plan.outputs));
  std::vector<Row> rows;
  rows.reserve(plan.intermediates.size());
  for (const PlanBuffer &buffer : plan.intermediates) {
    rows.push_back({buffer.name, to_string(buffer.type),
                    "calls " + std::to_string(buffer.first) + ".." + std::to_string(buffer.last)});
  }
  print_rows(out, "intermediates", plan.first_intermediate(), rows);
  rows.clear();
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    TensorType type{plan.weights[i]->dtype(), {}};
    for (const int64_t size : plan.weights[i]->shape()) {
      type.shape.emplace_back(size);
    }
    rows.push_back({plan.weight_names[i], to_string(type), ""});
  }
  print_rows(out, "weights", plan.first_weight(), rows);
}

void print_symbols(std::ostringstream &out, const Plan &plan) {
  if (!plan.bindings.empty()) {
    out << "symbols\n";
  }
  for (const PlanBinding &binding : plan.bindings) {
    const SymbolInfo *info = plan.symbols.find(binding.symbol);
    const Dim size = Dim(binding.coefficient) * Dim::symbol(binding.symbol) + binding.offset;
    out << "  " << binding.symbol << " in [" << (info == nullptr ? 0 : info->lower) << ", "
        << (info != nullptr && info->upper ? std::to_string(*info->upper) + "]" : "inf)")
        << (binding.contents ? " from element " : " from axis ") << binding.axis << " of "
        << plan.inputs[static_cast<size_t>(binding.input)].name << " = " << size.str() << '\n';
  }
  // Sizes that are numbers stand in the inputs' types.
  const bool any =
      std::any_of(plan.size_checks.begin(), plan.size_checks.end(),
                  [](const PlanSizeCheck &check) { return !check.expected.is_constant(); });
  if (any || !plan.guards.empty()) {
    out << "guards\n";
  }
  for (const PlanSizeCheck &check : plan.size_checks) {
    if (!check.expected.is_constant()) {
      out << (check.contents ? "  element " : "  axis ") << check.axis << " of "
          << plan.inputs[static_cast<size_t>(check.input)].name << " == " << check.expected.str()
          << '\n';
    }
  }
  for (const Guard &guard : plan.guards) {
    out << "  " << guard.left.str() << " == " << guard.right.str() << ": " << guard.reason << '\n';
  }
}

void print_kernels(std::ostringstream &out, const Plan &plan) {
  if (!plan.kernels.empty()) {
    out << "kernels\n";
  }
  for (size_t k = 0; k < plan.kernels.size(); ++k) {
    const PlanKernel &kernel = plan.kernels[k];
    int calls = 0;
    for (const PlanCall &call : plan.calls) {
      calls += call.kernel == static_cast<int>(k) ? 1 : 0;
    }
    out << "  " << kernel.name << ": " << calls << (calls == 1 ? " call" : " calls");
    if (!kernel.interface.library_symbol.empty()) {
      out << ", library " << kernel.interface.library_symbol;
    }
    out << '\n';
  }
}

// The first of the ONNX nodes, which is the most telling, and how many more there are.
std::string sources_note(const std::string &sources) {
  if (sources.empty()) {
    return "";
  }
  const auto more = std::count(sources.begin(), sources.end(), ',');
  return "  # " + sources.substr(0, sources.find(',')) +
         (more == 0 ? "" : " and " + std::to_string(more) + " more");
}

void print_event(std::ostringstream &out, const PlanEvent &event) {
  const std::string condition =
      event.condition < 0 ? "" : " where b" + std::to_string(event.condition);
  switch (event.kind) {
    case PlanEvent::Kind::Copy:
      out << "       b" << event.to
          << (event.offset.is(0) ? "" : " from byte " + event.offset.str() + " on") << " = "
          << event.bytes.str() << " bytes of b" << event.from << '\n';
      break;
    case PlanEvent::Kind::LoopBegin:
      out << "       loop " << event.symbol << " below " << event.trip.str() << condition
          << (event.made.empty() ? "" : ", makes " + event.made) << '\n';
      break;
    case PlanEvent::Kind::LoopTest:
      out << "       goes on" << condition << '\n';
      break;
    case PlanEvent::Kind::LoopEnd:
      out << "       end of loop\n";
      break;
    case PlanEvent::Kind::Size:
      out << "       " << event.symbol << " = " << event.trip.str() << '\n';
      break;
    case PlanEvent::Kind::IfBegin:
      out << "       if" << condition << '\n';
      break;
    case PlanEvent::Kind::IfElse:
      out << "       else\n";
      break;
    case PlanEvent::Kind::IfEnd:
      out << "       end of if\n";
      break;
  }
}

void print_calls(std::ostringstream &out, const Plan &plan) {
  size_t event = 0;
  const auto print_events = [&](size_t before) {
    for (; event < plan.events.size() && plan.events[event].before <= static_cast<int>(before);
         ++event) {
      print_event(out, plan.events[event]);
    }
  };
  if (!plan.calls.empty()) {
    out << "calls\n";
  }
  size_t check = 0;
  for (size_t i = 0; i < plan.calls.size(); ++i) {
    print_events(i);
    for (; check < plan.checks.size() && plan.checks[check].before <= static_cast<int>(i);
         ++check) {
      const PlanIndexCheck &of = plan.checks[check];
      out << "       check b" << of.buffer << " from " << of.first << " step " << of.step << ": "
          << of.count.str() << " elements below " << of.bound.str() << '\n';
    }
    const PlanCall &call = plan.calls[i];
    out << "  " << std::setw(4) << std::left << i << " " << numbers(call.outputs) << " = "
        << plan.kernels[static_cast<size_t>(call.kernel)].name << '(' << numbers(call.inputs)
        << ')';
    out << " over " << call.extent0.str() << " x " << call.extent1.str();
    for (size_t s = 0; s < call.symbols.size(); ++s) {
      out << (s == 0 ? " at " : ", ") << call.symbols[s].str();
    }
    if (!call.scratch_bytes.is(0)) {
      out << ", scratch " << call.scratch_bytes.str();
    }
    out << sources_note(call.sources) << '\n';
  }
  print_events(plan.calls.size());
  for (const PlanCopy &copy : plan.copies) {
    out << "       b" << copy.to << " = copy of b" << copy.from << '\n';
  }
}

}  // namespace

std::string print(const Plan &plan) {
  std::ostringstream out;
  out << "plan " << plan.name << '\n';
  print_buffers(out, plan);
  print_symbols(out, plan);
  print_kernels(out, plan);
  print_calls(out, plan);
  return out.str();
}

}  // namespace sylvite
