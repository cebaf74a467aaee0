// Objects + weights + runtime -> what an application links: a static library with all that stands
// around it, in a folder as `make install` would leave one.
//
// The library has two members. One is all code and constants, joined by LLD (-r), with every symbol
// but the descriptor's made local: equal kernels of two models in one application do not meet. The
// other is the weight image in a section of its own, .lrodata: linkers place it apart from the
// code, so that it may be larger than the 2 GiB that code reaches; it is mapped from the
// application's file page by page when it is read, and nothing in it is ever relocated. It does not
// pass through LLD here, and is written once, from where the weights lie.
//
// All files are complete before the first gets its name; CMake's come last, so that what CMake
// finds is there.
#include "compiler/link/library.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "compiler/ir/error.h"
#include "compiler/link/link.h"
#include "compiler/link/temporary.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPage = 4096;
constexpr int64_t kLargestMember = 9'999'999'999;  // ten digits are all that ar's format has
constexpr uint64_t kLargeSection = 0x10000000;     // SHF_X86_64_LARGE

template <typename T>
void append(std::vector<char> &bytes, const T &value) {
  const char *data = reinterpret_cast<const char *>(&value);
  bytes.insert(bytes.end(), data, data + sizeof value);
}

constexpr std::string_view kSectionNames(
    "\0.lrodata\0.note.GNU-stack\0.symtab\0.strtab\0.shstrtab\0", 52);

Elf64_Shdr section(const char *name, uint32_t type, uint64_t flags, uint64_t offset,
                   uint64_t size) {
  Elf64_Shdr header{};
  header.sh_name = static_cast<uint32_t>(kSectionNames.find(name));
  header.sh_type = type;
  header.sh_flags = flags;
  header.sh_offset = offset;
  header.sh_size = size;
  header.sh_addralign = 1;
  return header;
}

std::string member_header(const std::string &name, int64_t bytes) {
  std::array<char, 61> text{};
  std::snprintf(text.data(), text.size(), "%-16s%-12d%-6d%-6d%-8o%-10lld`\n", name.c_str(), 0, 0, 0,
                0644, static_cast<long long>(bytes));
  return text.data();
}

void append_big_endian(std::string &text, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += static_cast<char>(number >> shift & 0xff);
  }
}

std::string file_content(const fs::path &file) {
  std::ifstream stream(file, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(stream), {});
  if (!stream || content.empty()) {
    throw_model_error("'", file.string(), "' is missing: Sylvite's installation is not complete");
  }
  return content;
}

// Files of one folder that appear together or not at all; so do the folders that they need.
class PendingFolder {
 public:
  explicit PendingFolder(fs::path folder) : folder_(std::move(folder)) { make(folder_); }
  ~PendingFolder() {
    files_.clear();
    if (!committed_) {
      for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
        std::error_code ignored;
        fs::remove(*made, ignored);  // an empty one only
      }
    }
  }
  PendingFolder(const PendingFolder &) = delete;
  PendingFolder &operator=(const PendingFolder &) = delete;

  PendingFile &add(const fs::path &name) {
    make((folder_ / name).parent_path());
    return *files_.emplace_back(std::make_unique<PendingFile>(folder_ / name, false));
  }
  void add(const fs::path &name, const std::string &content) {
    add(name).write(content.data(), content.size());
  }
  void commit() {
    for (const std::unique_ptr<PendingFile> &file : files_) {
      file->check();  // all, before one appears
    }
    for (const std::unique_ptr<PendingFile> &file : files_) {
      file->commit();
      committed_ = true;
    }
  }

 private:
  void make(const fs::path &folder) {
    std::error_code error;
    if (fs::is_directory(folder, error)) {
      return;
    }
    if (folder.has_parent_path()) {
      make(folder.parent_path());
    }
    const bool made = fs::create_directory(folder, error);
    if (error) {
      throw_model_error("cannot make the folder '", folder.string(), "': ", error.message());
    }
    if (made) {
      made_.push_back(folder);
    }
  }

  fs::path folder_;
  std::vector<fs::path> made_;
  std::vector<std::unique_ptr<PendingFile>> files_;
  bool committed_ = false;
};

void write_archive(const std::vector<char> &code, const WeightImage &image,
                   const std::string &prefix, PendingFile &file) {
  const SectionObject weights = section_object(image.bytes, prefix + "_weights");
  std::vector<ArchiveMember> members(2);
  members[0].name = "model.o";
  members[0].symbol = prefix + "_program";
  members[0].bytes = std::ssize(code);
  members[1].name = "weights.o";
  members[1].symbol = prefix + "_weights";
  members[1].bytes = std::ssize(weights.head) + image.bytes + std::ssize(weights.tail);
  if (members[1].bytes > kLargestMember) {
    throw_model_error("the weights take ", image.bytes, " bytes: a library holds at most ",
                      kLargestMember, "; compile a program");
  }
  const auto write = [&](const auto &bytes) { file.write(bytes.data(), bytes.size()); };
  write(lay_out_archive(members));
  write(members[0].header);
  write(code);
  write(members[0].padding);
  write(members[1].header);
  write(weights.head);
  image.write_to([&](const void *data, size_t size) { return file.write(data, size); });
  write(weights.tail);
  write(members[1].padding);
}

}  // namespace

SectionObject section_object(int64_t bytes, const std::string &symbol) {
  const std::string symbol_names = std::string(1, '\0') + symbol + '\0';
  const uint64_t size = static_cast<uint64_t>(bytes);
  SectionObject object;

  Elf64_Sym weights{};
  weights.st_name = 1;
  weights.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
  weights.st_other = STV_HIDDEN;
  weights.st_shndx = 1;
  weights.st_size = size;
  // The image is a multiple of 64 bytes, so that the tables behind it are aligned.
  SYLVITE_CHECK(bytes % 64 == 0);
  const uint64_t symbols_at = kPage + size;
  const uint64_t symbol_names_at = symbols_at + 2 * sizeof(Elf64_Sym);
  const uint64_t section_names_at = symbol_names_at + symbol_names.size();
  const uint64_t names_end = section_names_at + kSectionNames.size();
  const uint64_t sections_at = (names_end + 7) / 8 * 8;
  append(object.tail, Elf64_Sym{});
  append(object.tail, weights);
  object.tail.insert(object.tail.end(), symbol_names.begin(), symbol_names.end());
  object.tail.insert(object.tail.end(), kSectionNames.begin(), kSectionNames.end());
  object.tail.resize(sections_at - symbols_at);

  Elf64_Shdr image = section(".lrodata", SHT_PROGBITS, SHF_ALLOC | kLargeSection, kPage, size);
  image.sh_addralign = kPage;
  Elf64_Shdr symbols = section(".symtab", SHT_SYMTAB, 0, symbols_at, 2 * sizeof(Elf64_Sym));
  symbols.sh_link = 4;  // its names
  symbols.sh_info = 1;  // the first that is not local
  symbols.sh_addralign = 8;
  symbols.sh_entsize = sizeof(Elf64_Sym);
  const std::array<Elf64_Shdr, 6> sections = {
      Elf64_Shdr{},
      image,
      section(".note.GNU-stack", SHT_PROGBITS, 0, kPage, 0),
      symbols,
      section(".strtab", SHT_STRTAB, 0, symbol_names_at, symbol_names.size()),
      section(".shstrtab", SHT_STRTAB, 0, section_names_at, kSectionNames.size())};
  append(object.tail, sections);

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_shoff = sections_at;
  header.e_ehsize = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = sections.size();
  header.e_shstrndx = sections.size() - 1;
  append(object.head, header);
  object.head.resize(kPage);
  return object;
}

std::string lay_out_archive(std::vector<ArchiveMember> &members) {
  std::string names;
  for (ArchiveMember &member : members) {
    SYLVITE_CHECK(member.name.size() <= 15);
    member.header = member_header(member.name + "/", member.bytes);
    member.padding = member.bytes % 2 == 0 ? "" : "\n";
    names += member.symbol + '\0';
  }
  names.resize((names.size() + 1) / 2 * 2, '\0');
  const int64_t table_bytes = 4 + 4 * std::ssize(members) + std::ssize(names);
  std::string table;
  append_big_endian(table, static_cast<uint32_t>(members.size()));
  const std::string start = "!<arch>\n" + member_header("/", table_bytes);
  int64_t at = std::ssize(start) + table_bytes;
  for (const ArchiveMember &member : members) {
    SYLVITE_CHECK(at <= UINT32_MAX, "an archive's symbol table counts in 32 bits");
    append_big_endian(table, static_cast<uint32_t>(at));
    at += std::ssize(member.header) + member.bytes + std::ssize(member.padding);
  }
  return start + table + names;
}

void link_library(const std::vector<std::vector<char>> &objects, const WeightImage &image,
                  const LibraryPackage &package) {
  PendingFolder folder(package.folder);
  PendingFile &archive = folder.add("lib/lib" + package.prefix + ".a");
  const fs::path runtime = library_runtime_folder();
  folder.add("lib/libsylvite_runtime.a", file_content(runtime / "libsylvite_runtime.a"));
  for (const char *header : {"sylvite.h", "sylvite.hpp", "classifier.h", "classifier.hpp",
                             "translator.h", "translator.hpp"}) {
    const fs::path name = fs::path("include") / "sylvite" / header;
    folder.add(name, file_content(runtime / name));
  }
  for (const auto &[name, text] : package.texts) {
    folder.add(name, text);
  }
  write_archive(join_objects(objects, package.prefix + "_program"), image, package.prefix, archive);
  folder.commit();
}

}  // namespace sylvite
