// `sylvite compile --require attention=12,add_norm=24`: a build that fails when an exporter's new
// release is no longer understood, instead of a program that is quietly slower.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "compiler/driver/compile_model.h"

namespace CLI {
class App;
}

namespace sylvite {

struct RequireFlags {
  std::vector<std::string> texts;  // KIND=N
};
void add_require_flag(CLI::App &command, RequireFlags &flags);

// What the flags ask for, by kind. UsageError for what is no KIND=N, for an unknown kind (with the
// closest one) and for a kind that is given twice.
std::map<std::string, int> required_fusions(const RequireFlags &flags);

// ModelError where the models together hold fewer: one line with the kind, found, required and the
// first near miss of that kind.
void check_required_fusions(const std::string &file, const std::map<std::string, int> &required,
                            std::span<const LoweredModel *const> models);

// The summary's line about what nearly happened, "" where nothing did: "2 attention, the first at
// '/layer.0/Softmax': ...".
std::string describe_near_misses(std::span<const LoweredModel *const> models);

}  // namespace sylvite
