// One file a kernel, named by the hash of its key: header, key, symbol, object, all under one
// checksum.
//
// Entries are code that we will link and run, so the folder must be its user's alone, and an entry
// counts only when its checksum, its sizes and its key are right; anything else is as good as
// absent and is replaced. A file appears under its name complete: it is written under a temporary
// name and renamed, so that two compiles at once, or one killed half-way, need no lock. What a
// killed compile left under a temporary name is removed by a later one, after an hour.
#include "compiler/codegen/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "compiler/codegen/compile.h"
#include "compiler/codegen/hash.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

struct EntryHeader {
  std::array<char, 8> magic;
  uint64_t version, key_size, symbol_size, object_size;
  uint64_t checksum;  // of all that follows the header
};
constexpr std::array<char, 8> kMagic = {'s', 'y', 'l', 'k', 'e', 'r', 'n', '\0'};
constexpr uint64_t kVersion = 1;
constexpr const char *kTemporary = ".tmp";

// Makes the folder and all above it; true when it is there afterwards.
bool make_folder(const fs::path &folder) {
  std::error_code error;
  if (folder.has_parent_path()) {
    fs::create_directories(folder.parent_path(), error);
  }
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) {
    return fs::is_directory(folder, error);
  }
  return false;
}

void refuse_unsafe(const fs::path &folder) {
  struct stat status{};
  if (stat(folder.c_str(), &status) != 0) {
    return;
  }
  const char *problem = status.st_uid != geteuid() ? "belongs to another user"
                        : (status.st_mode & (S_IWGRP | S_IWOTH)) != 0
                            ? "can be written by other users"
                            : nullptr;
  if (problem != nullptr) {
    throw_model_error("cache folder '", folder.string(), "' ", problem,
                      "; name another one with --cache-dir, or use --no-cache");
  }
}

void remove_leftovers(const fs::path &folder) {
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (const fs::directory_entry &file : fs::directory_iterator(folder, error)) {
    if (file.path().extension() == kTemporary) {
      const auto written = file.last_write_time(error);
      if (!error && now - written > std::chrono::hours(1)) {
        fs::remove(file.path(), error);
      }
    }
  }
}

std::optional<std::string> read_file(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return file.bad() ? std::nullopt : std::optional(std::move(bytes));
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    bytes.remove_prefix(written < 0 ? 0 : static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

KernelCache::KernelCache(fs::path folder) : folder_(std::move(folder)) {
  if (folder_.empty() || !make_folder(folder_)) {
    folder_.clear();
    return;
  }
  refuse_unsafe(folder_);
  remove_leftovers(folder_);
}

fs::path KernelCache::entry(const std::string &key) const {
  return folder_ / (hash_name(key) + ".kernel");
}

std::optional<KernelObject> KernelCache::load(const std::string &key) const {
  if (folder_.empty()) {
    return std::nullopt;
  }
  const std::optional<std::string> bytes = read_file(entry(key));
  EntryHeader header{};
  if (!bytes || bytes->size() < sizeof header) {
    return std::nullopt;
  }
  std::memcpy(&header, bytes->data(), sizeof header);
  const std::string_view rest = std::string_view(*bytes).substr(sizeof header);
  if (header.magic != kMagic || header.version != kVersion || header.key_size != key.size() ||
      header.symbol_size > rest.size() || header.object_size > rest.size() ||
      header.key_size + header.symbol_size + header.object_size != rest.size() ||
      header.checksum != hash_text(rest) || rest.substr(0, key.size()) != key) {
    return std::nullopt;
  }
  const std::string_view symbol = rest.substr(key.size(), header.symbol_size);
  const std::string_view object = rest.substr(key.size() + symbol.size());
  return KernelObject{std::string(symbol), {object.begin(), object.end()}};
}

void KernelCache::store(const std::string &key, const KernelObject &kernel) const {
  if (folder_.empty()) {
    return;
  }
  std::string rest = key + kernel.symbol;
  rest.append(kernel.object.begin(), kernel.object.end());
  const EntryHeader header{
      kMagic, kVersion, key.size(), kernel.symbol.size(), kernel.object.size(), hash_text(rest)};
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes += rest;

  static std::atomic<uint64_t> next{0};  // threads of this process
  const fs::path target = entry(key);
  fs::path temporary = target;
  temporary += "." + std::to_string(getpid()) + "." + std::to_string(next++) + kTemporary;
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) {
    return;
  }
  const bool written = write_all(file, bytes);
  const bool closed = close(file) == 0;
  if (!written || !closed || rename(temporary.c_str(), target.c_str()) != 0) {
    unlink(temporary.c_str());
  }
}

fs::path default_cache_dir() {
  const auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  if (const fs::path own = variable("SYLVITE_CACHE_DIR"); !own.empty()) {
    return own;
  }
  // The XDG rules: a relative path is to be ignored.
  if (const fs::path xdg = variable("XDG_CACHE_HOME"); xdg.is_absolute()) {
    return xdg / "sylvite";
  }
  const fs::path home = variable("HOME");
  return home.is_absolute() ? home / ".cache" / "sylvite" : fs::path();
}

}  // namespace sylvite
