// .npy: magic, version, length of the header, a Python dictionary literal with exactly three keys,
// the array. The literal is read by a parser for just such dictionaries: numpy itself refuses
// anything else.
#include "runtime/io/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "runtime/dtype.h"
#include "runtime/io/file.h"
#include "runtime/io/tensor_file.h"
#include "runtime/io/text.h"

namespace sylvite {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they stand");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr int64_t kLongestHeader = 65536;  // numpy refuses more than 10000 by default
constexpr size_t kLargestRank = 8;

// NumPy's codes, without byte order. It has no bfloat16.
struct CodeRow {
  sylvite_dtype dtype;
  const char *code;
};
constexpr CodeRow kCodes[] = {
    {SYLVITE_F32, "f4"}, {SYLVITE_F64, "f8"}, {SYLVITE_F16, "f2"}, {SYLVITE_I8, "i1"},
    {SYLVITE_U8, "u1"},  {SYLVITE_I16, "i2"}, {SYLVITE_U16, "u2"}, {SYLVITE_I32, "i4"},
    {SYLVITE_U32, "u4"}, {SYLVITE_I64, "i8"}, {SYLVITE_U64, "u8"}, {SYLVITE_BOOL, "b1"},
};

// As it is written: bfloat16 becomes float32.
const char *written_code(sylvite_dtype dtype) {
  for (const CodeRow &row : kCodes) {
    if (row.dtype == dtype) {
      return row.code;
    }
  }
  return "f4";
}

uint32_t byte_at(std::span<const std::byte> bytes, size_t i) {
  return std::to_integer<uint32_t>(bytes[i]);
}

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } whatever the order of the keys.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  bool parse(NpyHeader &header, std::string &code) {
    bool seen[3] = {};
    if (!take('{')) {
      return false;
    }
    while (!take('}')) {
      std::string key;
      if (!parse_string(key) || !take(':')) {
        return false;
      }
      const int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0 || seen[which]) {
        return false;
      }
      seen[which] = true;
      if (!(which == 0   ? parse_string(code)
            : which == 1 ? parse_bool(header.fortran)
                         : parse_shape(header.dims))) {
        return false;
      }
      if (!take(',') && !peek('}')) {
        return false;
      }
    }
    skip_space();
    return at_ == text_.size() && seen[0] && seen[1] && seen[2];
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  bool peek(char c) {
    skip_space();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool take(char c) {
    const bool found = peek(c);
    at_ += found ? 1 : 0;
    return found;
  }
  bool take_word(std::string_view word) {
    skip_space();
    const bool found = text_.substr(at_, word.size()) == word;
    at_ += found ? word.size() : 0;
    return found;
  }
  bool parse_string(std::string &value) {
    const char quote = peek('"') ? '"' : '\'';
    if (!take(quote)) {
      return false;
    }
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) {
      return false;
    }
    value = text_.substr(at_, end - at_);
    at_ = end + 1;
    return true;
  }
  bool parse_bool(bool &value) {
    value = take_word("True");
    return value || take_word("False");
  }
  bool parse_shape(std::vector<int64_t> &dims) {
    if (!take('(')) {
      return false;
    }
    while (!take(')')) {
      int64_t dim = 0;
      skip_space();
      const size_t start = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        if (at_ - start >= 18) {
          return false;
        }
        dim = dim * 10 + (text_[at_] - '0');
      }
      if (at_ == start || dims.size() == 64) {
        return false;
      }
      take('L');  // Python 2 wrote long integers so
      dims.push_back(dim);
      if (!take(',') && !peek(')')) {
        return false;
      }
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// "<f4": sets dtype and byte order.
bool parse_code(std::string_view code, NpyHeader &header) {
  if (code == "?") {
    code = "|b1";
  }
  if (code.size() < 2 || std::string_view("<>|=").find(code[0]) == std::string_view::npos) {
    return false;
  }
  for (const CodeRow &row : kCodes) {
    if (code.substr(1) == row.code) {
      header.dtype = row.dtype;
      header.swapped = code[0] == '>' && dtype_size(row.dtype) > 1;
      return true;
    }
  }
  return false;
}

void swap_bytes(std::span<std::byte> bytes, size_t size) {
  for (size_t i = 0; i + size <= bytes.size(); i += size) {
    std::reverse(bytes.begin() + static_cast<ptrdiff_t>(i),
                 bytes.begin() + static_cast<ptrdiff_t>(i + size));
  }
}

// Fortran order to C order: walks the destination in order, the source by strides.
void reorder(std::span<const int64_t> dims, size_t size, std::span<const std::byte> from,
             std::span<std::byte> to) {
  std::array<int64_t, kLargestRank> stride{}, index{};
  int64_t step = static_cast<int64_t>(size);
  for (size_t d = 0; d < dims.size(); ++d) {
    stride[d] = step;
    step *= dims[d];
  }
  int64_t offset = 0;
  for (size_t at = 0; at < to.size(); at += size) {
    std::memcpy(to.data() + at, from.data() + offset, size);
    for (size_t d = dims.size(); d-- > 0;) {
      offset += stride[d];
      if (++index[d] < dims[d]) {
        break;
      }
      offset -= stride[d] * dims[d];
      index[d] = 0;
    }
  }
}

// From a source that holds one array and nothing else.
Result<HostTensor> read_array(const ByteSource &source) {
  const std::string &where = source.name();
  std::array<std::byte, kNpyPreludeBytes> prelude{};
  const std::span<std::byte> first =
      std::span(prelude).first(std::min<uint64_t>(source.size(), prelude.size()));
  if (Error error = source.read(0, first); !error.ok()) {
    return error;
  }
  const Result<uint64_t> length = npy_header_bytes(first, where);
  if (!length.ok()) {
    return length.error();
  }
  if (length.value() > source.size()) {
    return bad_input(where, ": is truncated: its header has ", length.value(), " bytes, the file ",
                     source.size());
  }
  std::vector<std::byte> text(length.value());
  if (Error error = source.read(0, text); !error.ok()) {
    return error;
  }
  Result<NpyHeader> header = parse_npy_header(text, where);
  if (!header.ok()) {
    return header.error();
  }
  const uint64_t have = source.size() - length.value();
  if (have != header.value().bytes) {
    return bad_input(where, have < header.value().bytes ? ": is truncated" : ": is too long",
                     ": its header announces ", header.value().bytes, " bytes of data, there are ",
                     have);
  }
  HostTensor tensor;
  tensor.dtype = header.value().dtype;
  if (Error error = resize_vector(tensor.bytes, have, where); !error.ok()) {
    return error;
  }
  if (Error error = source.read(length.value(), tensor.bytes); !error.ok()) {
    return error;
  }
  if (Error error = normalise_array(header.value(), tensor.bytes, where); !error.ok()) {
    return error;
  }
  tensor.dims = std::move(header.value().dims);
  return tensor;
}

}  // namespace

int64_t element_count(std::span<const int64_t> dims) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) {
    return 0;
  }
  int64_t count = 1;
  for (const int64_t dim : dims) {
    if (__builtin_mul_overflow(count, dim, &count)) {
      return std::numeric_limits<int64_t>::max();
    }
  }
  return count;
}

sylvite_tensor tensor_of(HostTensor &tensor) {
  sylvite_tensor result{};
  result.data = tensor.bytes.data();
  result.dtype = tensor.dtype;
  result.rank = static_cast<int32_t>(std::min(tensor.dims.size(), kLargestRank));
  std::copy_n(tensor.dims.begin(), result.rank, result.dims);
  return result;
}

ArrayView::ArrayView(std::string_view name, const sylvite_tensor &tensor)
    : name(name),
      dtype(tensor.dtype),
      dims(tensor.dims, static_cast<size_t>(tensor.rank)),
      bytes(static_cast<const std::byte *>(tensor.data),
            static_cast<size_t>(element_count(dims) * dtype_size(tensor.dtype))) {}

Result<uint64_t> npy_header_bytes(std::span<const std::byte> prelude, const std::string &where) {
  if (prelude.size() < 10 || std::memcmp(prelude.data(), kMagic.data(), kMagic.size()) != 0) {
    return bad_input(where, ": is not a .npy file");
  }
  const uint32_t version = byte_at(prelude, 6);
  if (version < 1 || version > 3) {
    return bad_input(where, ": is a .npy file of version ", version, ", known are 1 to 3");
  }
  uint64_t length = byte_at(prelude, 8) | byte_at(prelude, 9) << 8;
  uint64_t start = 10;
  if (version > 1) {
    if (prelude.size() < 12) {
      return bad_input(where, ": is truncated");
    }
    length |= uint64_t{byte_at(prelude, 10)} << 16 | uint64_t{byte_at(prelude, 11)} << 24;
    start = 12;
  }
  if (length > uint64_t{kLongestHeader}) {
    return bad_input(where, ": its header claims ", length, " bytes, at most ", kLongestHeader);
  }
  return start + length;
}

Result<NpyHeader> parse_npy_header(std::span<const std::byte> bytes, const std::string &where) {
  std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  text.remove_prefix(std::min<size_t>(text.size(), byte_at(bytes, 6) == 1 ? 10 : 12));
  NpyHeader header;
  std::string code;
  if (!HeaderParser(text).parse(header, code)) {
    return bad_input(where, ": its header is not that of a plain array: ", printable(text));
  }
  if (!parse_code(code, header)) {
    return bad_input(where, ": element type '", printable(code),
                     "' is not supported (float16, 32, 64, integers of 8 to 64 bits, bool are)");
  }
  if (header.dims.size() > kLargestRank) {
    return bad_input(where, ": has ", header.dims.size(), " dimensions, at most ", kLargestRank);
  }
  // A zero anywhere makes the array empty, however large the rest.
  header.bytes = static_cast<uint64_t>(dtype_size(header.dtype));
  if (std::find(header.dims.begin(), header.dims.end(), 0) != header.dims.end()) {
    header.bytes = 0;
  }
  for (const int64_t dim : header.dims) {
    if (dim > kMaxTensorFileBytes ||
        header.bytes * static_cast<uint64_t>(dim) > static_cast<uint64_t>(kMaxTensorFileBytes)) {
      return bad_input(where, ": its array is larger than ", kMaxTensorFileBytes, " bytes");
    }
    header.bytes *= static_cast<uint64_t>(dim);
  }
  return header;
}

Error normalise_array(const NpyHeader &header, std::vector<std::byte> &bytes,
                      const std::string &where) {
  const auto size = static_cast<size_t>(dtype_size(header.dtype));
  if (header.swapped) {
    swap_bytes(bytes, size);
  }
  if (header.dtype == SYLVITE_BOOL) {
    for (std::byte &b : bytes) {
      b = b != std::byte{0} ? std::byte{1} : std::byte{0};
    }
  }
  if (header.fortran && header.dims.size() > 1 && !bytes.empty()) {
    std::vector<std::byte> reordered;
    if (Error error = resize_vector(reordered, bytes.size(), where); !error.ok()) {
      return error;
    }
    reorder(header.dims, size, bytes, reordered);
    bytes = std::move(reordered);
  }
  return {};
}

std::string format_npy_header(const ArrayView &tensor) {
  const bool one_byte = dtype_size(tensor.dtype) == 1;
  std::string text = text_of("{'descr': '", one_byte ? '|' : '<', written_code(tensor.dtype),
                             "', 'fortran_order': False, 'shape': (");
  for (size_t d = 0; d < tensor.dims.size(); ++d) {
    text +=
        text_of(d > 0 ? " " : "", tensor.dims[d], d + 1 < tensor.dims.size() || d == 0 ? "," : "");
  }
  text += "), }";
  // Spaces up to a multiple of 64, as numpy has it, so that mapped arrays are aligned.
  while ((10 + text.size() + 1) % 64 != 0) {
    text += ' ';
  }
  text += '\n';
  std::string header(kMagic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

std::span<const std::byte> npy_array(const ArrayView &tensor, std::vector<std::byte> &converted) {
  if (tensor.dtype != SYLVITE_BF16) {
    return tensor.bytes;
  }
  converted.assign(tensor.bytes.size() * 2, std::byte{0});
  for (size_t i = 0; i + 1 < tensor.bytes.size(); i += 2) {
    converted[i * 2 + 2] = tensor.bytes[i];
    converted[i * 2 + 3] = tensor.bytes[i + 1];
  }
  return converted;
}

Result<HostTensor> read_npy(const std::string &file) {
  Result<ByteSource> source = ByteSource::open(file, kMaxTensorFileBytes + kLongestHeader + 64);
  if (!source.ok()) {
    return source.error();
  }
  return read_array(source.value());
}

Result<HostTensor> parse_npy(std::span<const std::byte> bytes, const std::string &file) {
  return read_array(ByteSource(bytes, file));
}

Error write_npy(const std::string &file, const ArrayView &tensor) {
  Result<OutputFile> output = OutputFile::create(file);
  if (!output.ok()) {
    return output.error();
  }
  std::vector<std::byte> converted;
  const std::string header = format_npy_header(tensor);
  Error error = output.value().write(std::as_bytes(std::span(header)));
  if (error.ok()) {
    error = output.value().write(npy_array(tensor, converted));
  }
  return error.ok() ? output.value().commit() : error;
}

}  // namespace sylvite
