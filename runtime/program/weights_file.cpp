// The program's own path is what the kernel says that it executed (AT_EXECFN): /proc may be
// missing. Where that is a symbolic link, the weights may lie beside the link or beside what it
// leads to.
//
// The whole file is never read at once. Whether it is complete shows in its size, whether it was
// written with this program in its header, which repeats the descriptor's hash of the contents.
// Mapped and read-only, its pages are shared by all programs that run on it.
#include "runtime/program/weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "runtime/io/text.h"

namespace sylvite {
namespace {

constexpr char kMagic[16] = "sylvite weights";

std::string path_beside_program() {
  const char *own = reinterpret_cast<const char *>(getauxval(AT_EXECFN));
  if (own == nullptr) {
    return "";
  }
  std::string beside = text_of(own, ".weights");
  char resolved[PATH_MAX];
  if (access(beside.c_str(), F_OK) != 0 && realpath(own, resolved) != nullptr) {
    std::string behind_links = text_of(resolved, ".weights");
    if (access(behind_links.c_str(), F_OK) == 0) {
      return behind_links;
    }
  }
  return beside;
}

std::string path_of(const std::string &given) {
  if (!given.empty()) {
    return given;
  }
  const char *named = getenv("SYLVITE_WEIGHTS");
  return named != nullptr && *named != 0 ? named : path_beside_program();
}

// Closes at the end. Does not wait for a pipe's writer.
struct Descriptor {
  explicit Descriptor(const std::string &path)
      : number(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (number >= 0) {
      close(number);
    }
  }
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  int number;
};

constexpr const char *kRemedy =
    "; it belongs beside the program, or else --weights FILE or SYLVITE_WEIGHTS names it";

Error check_file(const sylvite_program &program, const Descriptor &file, const std::string &name) {
  struct stat status{};
  if (file.number < 0 || fstat(file.number, &status) != 0) {
    return bad_input("the weights, '", name, "', cannot be opened: ", strerror(errno), kRemedy);
  }
  if (!S_ISREG(status.st_mode)) {
    return bad_input("the weights, '", name, "', are no regular file", kRemedy);
  }
  sylvite_weight_header header{};
  const ssize_t size = pread(file.number, &header, sizeof header, 0);
  if (size < 0) {
    return bad_input("the weights, '", name, "', cannot be read: ", strerror(errno));
  }
  const bool whole = size == static_cast<ssize_t>(sizeof header);
  if (whole && memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return bad_input("'", name, "' is no file of weights", kRemedy);
  }
  if (whole && (header.bytes != static_cast<uint64_t>(program.weight_bytes) ||
                header.content_hash != program.weight_hash)) {
    return bad_input("'", name, "' holds the weights of another program or of another compilation",
                     "; take the file that was written with this program");
  }
  if (status.st_size != program.weight_bytes) {
    return bad_input("the weights, '", name, "', have ", status.st_size, " bytes instead of ",
                     program.weight_bytes, ": copy the file again");
  }
  return {};
}

}  // namespace

Result<WeightsFile> map_weights_file(const sylvite_program &program, const std::string &given) {
  WeightsFile weights;
  weights.path = path_of(given);
  const std::string name = printable(weights.path);
  const Descriptor file(weights.path);
  if (Error error = check_file(program, file, name); !error.ok()) {
    return error;
  }
  void *const pages = mmap(nullptr, static_cast<size_t>(program.weight_bytes), PROT_READ,
                           MAP_SHARED, file.number, 0);
  if (pages == MAP_FAILED) {
    return bad_input("the weights, '", name, "', cannot be mapped: ", strerror(errno));
  }
  weights.image = pages;
  return weights;
}

}  // namespace sylvite
