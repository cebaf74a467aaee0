// The two members of a model's static library. Internal to compiler/link.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sylvite {

// The objects as one, of which only `symbol` is to be seen.
std::vector<char> join_objects(const std::vector<std::vector<char>> &objects,
                               const std::string &symbol);

// An object whose one section is `bytes` long, page-aligned, read-only and never relocated, and
// defines `symbol`. To be written: head, the section's content, tail.
struct SectionObject {
  std::vector<char> head, tail;
};
SectionObject section_object(int64_t bytes, const std::string &symbol);

// An archive (ar's format) with a symbol table. To be written: head; then for each member its
// header, its `bytes` and its padding.
struct ArchiveMember {
  std::string name, symbol;  // a name of at most 15 characters; the one symbol that it defines
  int64_t bytes = 0;
  std::string header, padding;  // filled in
};
std::string lay_out_archive(std::vector<ArchiveMember> &members);

}  // namespace sylvite
