// .npz: a zip archive. Read by its central directory, which alone has every size (numpy streams
// entries, so that local headers may hold zeroes and a data descriptor follows); each local header
// serves to find the data.
//
// A stored array is read straight into its tensor; a deflated one is inflated into the tensor's
// bytes, from which the header is then removed. So a file costs its arrays once and its largest
// compressed entry.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io/crc32.h"
#include "runtime/io/file.h"
#include "runtime/io/npy.h"
#include "runtime/io/stb.h"
#include "runtime/io/tensor_file.h"
#include "runtime/io/text.h"

namespace sylvite {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50,
                   kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                   kLocator64Bytes = 20;
constexpr uint64_t kMostEntries = 65536;
constexpr uint64_t kLargestDirectory = uint64_t{64} << 20;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint64_t kSaturated32 = 0xffffffff, kSaturated16 = 0xffff;
// Deflate's best: 258 bytes from two bits.
constexpr uint64_t kBestRatio = 1032;

uint64_t number_at(std::span<const std::byte> bytes, uint64_t offset, int size) {
  uint64_t value = 0;
  for (int i = size - 1; i >= 0; --i) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[offset + static_cast<uint64_t>(i)]);
  }
  return value;
}

struct Entry {
  std::string name, where;  // where: for messages
  uint16_t method = kStored;
  uint32_t crc = 0;
  uint64_t packed = 0, size = 0, offset = 0;
};

struct Directory {
  uint64_t entries = 0, offset = 0, bytes = 0;
};

// The end record stands last, but for a comment of at most 65535 bytes.
Result<Directory> find_directory(const ByteSource &source) {
  const std::string &file = source.name();
  const uint64_t tail_bytes = std::min<uint64_t>(source.size(), kEndBytes + kSaturated16);
  const uint64_t tail_offset = source.size() - tail_bytes;
  std::vector<std::byte> tail(tail_bytes);
  if (Error error = source.read(tail_offset, tail); !error.ok()) {
    return error;
  }
  uint64_t at = tail_bytes < kEndBytes ? 0 : tail_bytes - kEndBytes + 1;
  bool found = false;
  while (at > 0 && !found) {
    --at;
    found = number_at(tail, at, 4) == kEndSignature &&
            at + kEndBytes + number_at(tail, at + 20, 2) == tail_bytes;
  }
  if (!found) {
    return bad_input(file, ": is not a .npz file, or is truncated (no zip directory)");
  }
  Directory directory;
  directory.entries = number_at(tail, at + 10, 2);
  directory.bytes = number_at(tail, at + 12, 4);
  directory.offset = number_at(tail, at + 16, 4);
  const bool wants64 = directory.entries == kSaturated16 || directory.bytes == kSaturated32 ||
                       directory.offset == kSaturated32;
  const uint64_t end_offset = tail_offset + at;
  if (wants64 && end_offset >= kLocator64Bytes) {
    std::array<std::byte, kLocator64Bytes> locator{};
    if (Error error = source.read(end_offset - kLocator64Bytes, locator); !error.ok()) {
      return error;
    }
    if (number_at(locator, 0, 4) == kLocator64Signature) {
      std::array<std::byte, kEnd64Bytes> end64{};
      if (Error error = source.read(number_at(locator, 8, 8), end64); !error.ok()) {
        return error;
      }
      if (number_at(end64, 0, 4) != kEnd64Signature) {
        return bad_input(file, ": is damaged: no zip64 end record where it should be");
      }
      directory.entries = number_at(end64, 32, 8);
      directory.bytes = number_at(end64, 40, 8);
      directory.offset = number_at(end64, 48, 8);
    }
  }
  if (directory.offset > source.size() || directory.bytes > source.size() - directory.offset) {
    return bad_input(file, ": is damaged: its zip directory lies outside the file");
  }
  if (directory.entries > kMostEntries || directory.bytes > kLargestDirectory) {
    return bad_input(file, ": has too many entries: ", directory.entries, ", at most ",
                     kMostEntries);
  }
  return directory;
}

// Sizes that do not fit 32 bits stand in the extra field, only those, in this order.
bool apply_zip64(std::span<const std::byte> extra, Entry &entry) {
  uint64_t *const wanted[] = {&entry.size, &entry.packed, &entry.offset};
  const bool any = std::any_of(std::begin(wanted), std::end(wanted),
                               [](const uint64_t *value) { return *value == kSaturated32; });
  if (!any) {
    return true;
  }
  while (extra.size() >= 4) {
    const uint64_t id = number_at(extra, 0, 2), length = number_at(extra, 2, 2);
    if (length > extra.size() - 4) {
      return false;
    }
    std::span<const std::byte> field = extra.subspan(4, length);
    extra = extra.subspan(4 + length);
    if (id != 1) {
      continue;
    }
    for (uint64_t *const value : wanted) {
      if (*value == kSaturated32) {
        if (field.size() < 8) {
          return false;
        }
        *value = number_at(field, 0, 8);
        field = field.subspan(8);
      }
    }
    return true;
  }
  return false;
}

// Reads one entry of the directory and moves `rest` behind it.
Result<Entry> parse_entry(std::span<const std::byte> &rest, const std::string &file) {
  if (rest.size() < kCentralBytes || number_at(rest, 0, 4) != kCentralSignature) {
    return bad_input(file, ": is damaged: its zip directory cannot be read");
  }
  const uint64_t flags = number_at(rest, 8, 2);
  const uint64_t name_bytes = number_at(rest, 28, 2), extra_bytes = number_at(rest, 30, 2),
                 comment_bytes = number_at(rest, 32, 2);
  if (rest.size() - kCentralBytes < name_bytes + extra_bytes + comment_bytes) {
    return bad_input(file, ": is damaged: its zip directory is truncated");
  }
  Entry entry;
  entry.method = static_cast<uint16_t>(number_at(rest, 10, 2));
  entry.crc = static_cast<uint32_t>(number_at(rest, 16, 4));
  entry.packed = number_at(rest, 20, 4);
  entry.size = number_at(rest, 24, 4);
  entry.offset = number_at(rest, 42, 4);
  entry.name.assign(reinterpret_cast<const char *>(rest.data()) + kCentralBytes, name_bytes);
  entry.where = text_of(file, ": '", printable(entry.name), "'");
  const bool sizes_ok = apply_zip64(rest.subspan(kCentralBytes + name_bytes, extra_bytes), entry);
  rest = rest.subspan(kCentralBytes + name_bytes + extra_bytes + comment_bytes);
  if (!sizes_ok) {
    return bad_input(entry.where, ": is damaged: its zip64 sizes are missing");
  }
  constexpr std::string_view kSuffix = ".npy";
  if (!entry.name.ends_with(kSuffix) || entry.name.size() == kSuffix.size()) {
    return bad_input(entry.where, ": is not a .npy entry");
  }
  entry.name.resize(entry.name.size() - kSuffix.size());
  if ((flags & 1) != 0) {
    return bad_input(entry.where, ": is encrypted");
  }
  if (entry.method != kStored && entry.method != kDeflated) {
    return bad_input(entry.where, ": compression method ", entry.method,
                     " is not supported (stored and deflated are)");
  }
  return entry;
}

// Where the entry's data starts; also checks that it lies within the file.
Result<uint64_t> find_data(const ByteSource &source, const Entry &entry) {
  std::array<std::byte, kLocalBytes> local{};
  if (entry.offset > source.size() || source.size() - entry.offset < kLocalBytes) {
    return bad_input(entry.where, ": is damaged: it lies outside the file");
  }
  if (Error error = source.read(entry.offset, local); !error.ok()) {
    return error;
  }
  if (number_at(local, 0, 4) != kLocalSignature) {
    return bad_input(entry.where, ": is damaged: no entry where the directory says");
  }
  const uint64_t start =
      entry.offset + kLocalBytes + number_at(local, 26, 2) + number_at(local, 28, 2);
  if (start > source.size() || entry.packed > source.size() - start) {
    return bad_input(entry.where, ": is truncated: ", entry.packed, " bytes wanted");
  }
  if (entry.method == kStored ? entry.packed != entry.size
                              : entry.size / kBestRatio > entry.packed) {
    return bad_input(entry.where, ": is damaged: ", entry.size, " bytes cannot come from ",
                     entry.packed);
  }
  return start;
}

Error check_crc(const Entry &entry, uint32_t crc) {
  return crc == entry.crc ? Error{} : bad_input(entry.where, ": is damaged: wrong checksum");
}

struct Array {
  NpyHeader header;
  std::vector<std::byte> bytes;
};

Error check_array_size(const Entry &entry, uint64_t header_bytes, const NpyHeader &header) {
  const uint64_t have = entry.size - header_bytes;
  return have == header.bytes ? Error{}
                              : bad_input(entry.where, ": its header announces ", header.bytes,
                                          " bytes of data, there are ", have);
}

// The array's header and its length. `read` fills a span with the entry's first bytes.
template <typename Read>
Result<std::pair<uint64_t, NpyHeader>> read_header(const Entry &entry, const Read &read) {
  std::vector<std::byte> head(std::min<uint64_t>(entry.size, kNpyPreludeBytes));
  if (Error error = read(std::span(head)); !error.ok()) {
    return error;
  }
  const Result<uint64_t> length = npy_header_bytes(head, entry.where);
  if (!length.ok()) {
    return length.error();
  }
  if (length.value() > entry.size) {
    return bad_input(entry.where, ": is truncated: its header has ", length.value(), " bytes");
  }
  head.resize(length.value());
  if (Error error = read(std::span(head)); !error.ok()) {
    return error;
  }
  Result<NpyHeader> header = parse_npy_header(head, entry.where);
  if (!header.ok()) {
    return header.error();
  }
  if (Error error = check_array_size(entry, length.value(), header.value()); !error.ok()) {
    return error;
  }
  return std::pair(length.value(), std::move(header.value()));
}

Result<Array> read_stored(const ByteSource &source, const Entry &entry, uint64_t start) {
  uint32_t header_crc = 0;
  const auto read = [&](std::span<std::byte> to) {
    Error error = source.read(start, to);
    header_crc = crc32(0, to);
    return error;
  };
  Result<std::pair<uint64_t, NpyHeader>> header = read_header(entry, read);
  if (!header.ok()) {
    return header.error();
  }
  Array array{std::move(header.value().second), {}};
  if (Error error = resize_vector(array.bytes, array.header.bytes, entry.where); !error.ok()) {
    return error;
  }
  if (Error error = source.read(start + header.value().first, array.bytes); !error.ok()) {
    return error;
  }
  if (Error error = check_crc(entry, crc32(header_crc, array.bytes)); !error.ok()) {
    return error;
  }
  return array;
}

Result<Array> read_deflated(const ByteSource &source, const Entry &entry, uint64_t start) {
  std::vector<std::byte> packed;
  Array array;
  if (Error error = resize_vector(packed, entry.packed + kInflatePadding, entry.where);
      !error.ok()) {
    return error;
  }
  if (Error error = resize_vector(array.bytes, entry.size, entry.where); !error.ok()) {
    return error;
  }
  if (Error error = source.read(start, std::span(packed).first(entry.packed)); !error.ok()) {
    return error;
  }
  if (!inflate(packed, array.bytes)) {
    return bad_input(entry.where, ": is damaged: it cannot be decompressed");
  }
  if (Error error = check_crc(entry, crc32(0, array.bytes)); !error.ok()) {
    return error;
  }
  const auto read = [&](std::span<std::byte> to) {
    std::copy_n(array.bytes.begin(), to.size(), to.begin());
    return Error{};
  };
  Result<std::pair<uint64_t, NpyHeader>> header = read_header(entry, read);
  if (!header.ok()) {
    return header.error();
  }
  array.header = std::move(header.value().second);
  array.bytes.erase(array.bytes.begin(),
                    array.bytes.begin() + static_cast<ptrdiff_t>(header.value().first));
  return array;
}

Result<std::vector<HostTensor>> read_archive(const ByteSource &source) {
  const std::string &file = source.name();
  const Result<Directory> directory = find_directory(source);
  if (!directory.ok()) {
    return directory.error();
  }
  std::vector<std::byte> table;
  if (Error error = resize_vector(table, directory.value().bytes, file); !error.ok()) {
    return error;
  }
  if (Error error = source.read(directory.value().offset, table); !error.ok()) {
    return error;
  }
  std::vector<Entry> entries;
  std::vector<std::string_view> names;
  uint64_t total = 0;
  std::span<const std::byte> rest = table;
  for (uint64_t i = 0; i < directory.value().entries; ++i) {
    Result<Entry> entry = parse_entry(rest, file);
    if (!entry.ok()) {
      return entry.error();
    }
    // Before anything is unpacked: entries may share bytes, so the file's size bounds nothing.
    if (entry.value().size > static_cast<uint64_t>(kMaxTensorFileBytes) - total) {
      return bad_input(file, ": its arrays are larger than ", kMaxTensorFileBytes, " bytes");
    }
    total += entry.value().size;
    entries.push_back(std::move(entry.value()));
  }
  for (const Entry &entry : entries) {
    names.push_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    return bad_input(file, ": has two arrays named '", printable(*twice), "'");
  }
  std::vector<HostTensor> tensors;
  for (Entry &entry : entries) {
    const Result<uint64_t> start = find_data(source, entry);
    if (!start.ok()) {
      return start.error();
    }
    Result<Array> array = entry.method == kStored ? read_stored(source, entry, start.value())
                                                  : read_deflated(source, entry, start.value());
    if (!array.ok()) {
      return array.error();
    }
    NpyHeader &header = array.value().header;
    if (Error error = normalise_array(header, array.value().bytes, entry.where); !error.ok()) {
      return error;
    }
    tensors.push_back({std::move(entry.name), header.dtype, std::move(header.dims),
                       std::move(array.value().bytes)});
  }
  return tensors;
}

// --- Writing ---------------------------------------------------------------------------------

class Record {
 public:
  Record &put(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
    return *this;
  }
  Record &put(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Record &put(std::string_view text) { return put(std::as_bytes(std::span(text))); }
  std::span<const std::byte> bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

// The extra field with those of `values` that do not fit 32 bits.
Record zip64_field(std::initializer_list<uint64_t> values) {
  Record large;
  for (const uint64_t value : values) {
    if (value >= kSaturated32) {
      large.put(value, 8);
    }
  }
  Record field;
  if (large.size() > 0) {
    field.put(1, 2).put(large.size(), 2).put(large.bytes());
  }
  return field;
}

// What local and central headers have in common, from the version on. The date is zip's first day,
// always: equal tensors give equal files.
void put_common(Record &record, const Entry &entry, bool zip64, uint64_t extra_bytes) {
  constexpr uint64_t kUtf8Name = 1 << 11, kFirstDay = 0x0021;
  record.put(zip64 ? 45 : 20, 2).put(kUtf8Name, 2).put(kStored, 2).put(0, 2).put(kFirstDay, 2);
  record.put(entry.crc, 4);
  record.put(std::min(entry.size, kSaturated32), 4).put(std::min(entry.size, kSaturated32), 4);
  record.put(entry.name.size(), 2).put(extra_bytes, 2);
}

Record local_header(const Entry &entry) {
  // A local header names both sizes or none; they are equal here.
  const Record extra = zip64_field({entry.size, entry.size});
  Record record;
  record.put(kLocalSignature, 4);
  put_common(record, entry, extra.size() > 0, extra.size());
  record.put(entry.name).put(extra.bytes());
  return record;
}

Record central_header(const Entry &entry) {
  const Record extra = zip64_field({entry.size, entry.size, entry.offset});
  const bool zip64 = extra.size() > 0;
  Record record;
  record.put(kCentralSignature, 4).put(zip64 ? 45 : 20, 2);
  put_common(record, entry, zip64, extra.size());
  record.put(0, 2).put(0, 2).put(0, 2).put(0, 4);  // comment, disk, attributes
  record.put(std::min(entry.offset, kSaturated32), 4);
  record.put(entry.name).put(extra.bytes());
  return record;
}

Record end_records(uint64_t entries, uint64_t offset, uint64_t bytes) {
  Record record;
  if (entries >= kSaturated16 || offset >= kSaturated32 || bytes >= kSaturated32) {
    record.put(kEnd64Signature, 4).put(kEnd64Bytes - 12, 8).put(45, 2).put(45, 2).put(0, 4);
    record.put(0, 4).put(entries, 8).put(entries, 8).put(bytes, 8).put(offset, 8);
    record.put(kLocator64Signature, 4).put(0, 4).put(offset + bytes, 8).put(1, 4);
  }
  const uint64_t count = std::min(entries, kSaturated16);
  record.put(kEndSignature, 4).put(0, 2).put(0, 2).put(count, 2).put(count, 2);
  record.put(std::min(bytes, kSaturated32), 4).put(std::min(offset, kSaturated32), 4).put(0, 2);
  return record;
}

}  // namespace

Result<std::vector<HostTensor>> read_npz(const std::string &file) {
  // Headers, names and the directory come on top of the arrays.
  Result<ByteSource> source = ByteSource::open(file, kMaxTensorFileBytes + (int64_t{64} << 20));
  if (!source.ok()) {
    return source.error();
  }
  return read_archive(source.value());
}

Result<std::vector<HostTensor>> parse_npz(std::span<const std::byte> bytes,
                                          const std::string &file) {
  return read_archive(ByteSource(bytes, file));
}

Error write_npz(const std::string &file, std::span<const ArrayView> tensors) {
  Result<OutputFile> output = OutputFile::create(file);
  if (!output.ok()) {
    return output.error();
  }
  std::vector<Entry> entries;
  uint64_t offset = 0;
  for (const ArrayView &tensor : tensors) {
    std::vector<std::byte> converted;
    const std::string header = format_npy_header(tensor);
    const std::span<const std::byte> head = std::as_bytes(std::span(header));
    const std::span<const std::byte> array = npy_array(tensor, converted);
    Entry entry;
    entry.name = text_of(tensor.name, ".npy");
    if (entry.name.size() > kSaturated16) {
      return bad_input(file, ": a name is too long: '", printable(tensor.name), "'");
    }
    entry.size = head.size() + array.size();
    entry.crc = crc32(crc32(0, head), array);
    entry.offset = offset;
    const Record local = local_header(entry);
    for (const std::span<const std::byte> part : {local.bytes(), head, array}) {
      if (Error error = output.value().write(part); !error.ok()) {
        return error;
      }
      offset += part.size();
    }
    entries.push_back(std::move(entry));
  }
  uint64_t directory_bytes = 0;
  for (const Entry &entry : entries) {
    const Record central = central_header(entry);
    if (Error error = output.value().write(central.bytes()); !error.ok()) {
      return error;
    }
    directory_bytes += central.size();
  }
  const Record end = end_records(entries.size(), offset, directory_bytes);
  if (Error error = output.value().write(end.bytes()); !error.ok()) {
    return error;
  }
  return output.value().commit();
}

}  // namespace sylvite
