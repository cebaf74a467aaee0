// The pieces of make_plan that have a file of their own. Internal to compiler/codegen.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"

namespace sylvite {

// The numbers of the buffers that hold values.
using BufferNumbers = std::map<const Value *, int>;

// index_checks.cpp: adds the checks that call number `call` needs for the positions that its data
// decides.
void add_index_checks(const Node &kernel, int call, const BufferNumbers &numbers, Plan &plan);

// control_flow.cpp: sizes that vary while the plan runs.
// The expressions without variables between which the size lies in every iteration: one where it
// holds none.
std::vector<Dim> extremes(const Dim &dim, const Plan &plan);
// The largest size over all iterations. Throws ModelError that names `place` where it cannot be
// told.
Dim largest(const Dim &dim, const Plan &plan, const std::string &place);
// Guards on what varies become guards on its extremes.
void settle_guards(Plan &plan);
// The first and the last call in which each intermediate holds something.
void set_lifetimes(Plan &plan);

// bindings.cpp: how the symbols are read off the inputs, and which sizes remain to be compared.
void add_bindings(Plan &plan);

// What messages call a value: its own name, or the node that it comes from.
std::string label_of(const Value &value);

// A name of the user's inside a message: one line, and no {} of its own, which would be taken for a
// number.
std::string one_line(const std::string &name);

}  // namespace sylvite
