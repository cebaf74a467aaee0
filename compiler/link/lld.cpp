// LLD as a library. It keeps its state in globals, so links take turns; its output goes into
// strings. When it says that it cannot run again (it crashed inside), later links are refused
// instead of tried.
#include "compiler/link/lld.h"

#include <mutex>
#include <string>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/link/temporary.h"
#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace sylvite {

void run_lld(const std::vector<std::string> &arguments) {
  static std::mutex turn;
  static bool broken = false;
  const std::lock_guard lock(turn);
  SYLVITE_CHECK(!broken, "LLD failed earlier and cannot run again in this process");
  const RunningScope scope("LLD");
  std::vector<const char *> command = {"ld.lld"};
  for (const std::string &argument : arguments) {
    command.push_back(argument.c_str());
  }
  std::string output, errors;
  lld::Result result{};
  {
    llvm::raw_string_ostream output_stream(output), error_stream(errors);
    result = lld::lldMain(command, output_stream, error_stream, {{lld::Gnu, &lld::elf::link}});
  }
  broken = !result.canRunAgain;
  if (result.retCode != 0 && errors.find("No space left on device") != std::string::npos) {
    throw_model_error(
        "cannot link: no space left for temporary files; set TMPDIR to another folder");
  }
  SYLVITE_CHECK(result.retCode == 0, errors);
}

std::vector<std::string> write_objects(const std::vector<std::vector<char>> &objects,
                                       const std::filesystem::path &folder) {
  std::vector<std::string> paths;
  for (const std::vector<char> &object : objects) {
    paths.push_back((folder / ("object" + std::to_string(paths.size()) + ".o")).string());
    PendingFile file(paths.back(), false);
    file.write(object.data(), object.size());
    file.commit();
  }
  return paths;
}

}  // namespace sylvite
