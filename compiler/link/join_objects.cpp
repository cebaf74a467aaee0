// Many objects -> one that shows one symbol: LLD joins them (-r), LLVM's objcopy, in process too,
// makes the other symbols local. (A linker keeps even hidden symbols global in a relocatable file.)
#include <memory>
#include <utility>

#include "compiler/ir/error.h"
#include "compiler/link/library.h"
#include "compiler/link/lld.h"
#include "llvm/ObjCopy/ConfigManager.h"
#include "llvm/ObjCopy/ObjCopy.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

namespace sylvite {
namespace {

void check(llvm::Error error) {
  if (error) {
    check_failed("objcopy", __FILE__, __LINE__, llvm::toString(std::move(error)));
  }
}

void add_name(llvm::objcopy::NameMatcher &names, const std::string &name) {
  const auto pass_on = [](llvm::Error error) { return error; };
  check(names.addMatcher(
      llvm::objcopy::NameOrPattern::create(name, llvm::objcopy::MatchStyle::Literal, pass_on)));
}

}  // namespace

std::vector<char> join_objects(const std::vector<std::vector<char>> &objects,
                               const std::string &symbol) {
  const std::vector<char> joined = run_lld({"-m", "elf_x86_64", "-r"}, objects, {});
  llvm::objcopy::ConfigManager config;
  add_name(config.Common.SymbolsToKeepGlobal, symbol);
  add_name(config.Common.ToRemove, ".comment");
  config.Common.StripUnneeded = true;
  llvm::Expected<std::unique_ptr<llvm::object::ObjectFile>> object =
      llvm::object::ObjectFile::createObjectFile(
          llvm::MemoryBufferRef({joined.data(), joined.size()}, "model.o"));
  check(object.takeError());
  llvm::SmallVector<char, 0> result;
  llvm::raw_svector_ostream stream(result);
  check(llvm::objcopy::executeObjcopyOnBinary(config, **object, stream));
  return {result.begin(), result.end()};
}

}  // namespace sylvite
