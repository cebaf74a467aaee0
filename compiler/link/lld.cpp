// LLD as a library. It keeps its state in globals, so links take turns; its messages go into a
// string. When it says that it cannot run again (it crashed inside), later links are refused
// instead of tried.
//
// LLD reads files, so the objects are written into a temporary folder. Its output goes through a
// named pipe: LLD maps an ordinary output file before there is space for it, and a full disk is
// then a bus error; a pipe it writes to.
#include "compiler/link/lld.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/link/temporary.h"
#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace sylvite {
namespace {

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

// A named pipe that is read by a thread until finish(). Its own writing end keeps the reader from
// an early end of file, and from waiting for ever when nobody else opens the pipe.
class OutputPipe {
 public:
  explicit OutputPipe(const std::filesystem::path &path) {
    SYLVITE_CHECK(mkfifo(path.c_str(), 0600) == 0);
    read_end_ = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    write_end_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    SYLVITE_CHECK(read_end_ >= 0 && write_end_ >= 0 && fcntl(read_end_, F_SETFL, 0) == 0);
    reader_ = std::thread([this] { read_all(); });
  }
  ~OutputPipe() {
    if (reader_.joinable()) {
      finish();
    }
    close(read_end_);
  }
  OutputPipe(const OutputPipe &) = delete;
  OutputPipe &operator=(const OutputPipe &) = delete;

  std::vector<char> finish() {
    close(write_end_);
    reader_.join();
    return std::move(bytes_);
  }

 private:
  void read_all() {
    std::array<char, 65536> part;
    for (;;) {
      const ssize_t size = read(read_end_, part.data(), part.size());
      if (size > 0) {
        bytes_.insert(bytes_.end(), part.begin(), part.begin() + size);
      } else if (size == 0 || errno != EINTR) {
        return;
      }
    }
  }

  int read_end_ = -1, write_end_ = -1;
  std::vector<char> bytes_;
  std::thread reader_;
};

}  // namespace

std::vector<char> run_lld(const std::vector<std::string> &options,
                          const std::vector<std::vector<char>> &objects,
                          const std::vector<std::string> &libraries) {
  static std::mutex turn;
  static bool broken = false;
  const std::lock_guard lock(turn);
  SYLVITE_CHECK(!broken, "LLD failed earlier and cannot run again in this process");
  const RunningScope scope("LLD");
  const TemporaryFolder folder;
  const std::vector<std::string> paths = write_objects(objects, folder.path());
  const std::string output = (folder.path() / "output").string();
  std::vector<const char *> command = {"ld.lld", "-o", output.c_str()};
  for (const std::vector<std::string> *part : {&options, &paths, &libraries}) {
    for (const std::string &argument : *part) {
      command.push_back(argument.c_str());
    }
  }
  OutputPipe pipe(output);
  std::string messages;
  lld::Result result{};
  {
    llvm::raw_string_ostream stream(messages);
    result = lld::lldMain(command, stream, stream, {{lld::Gnu, &lld::elf::link}});
  }
  broken = !result.canRunAgain;
  std::vector<char> linked = pipe.finish();
  SYLVITE_CHECK(result.retCode == 0, messages);
  SYLVITE_CHECK(!linked.empty());
  return linked;
}

}  // namespace sylvite
