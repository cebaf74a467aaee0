// stb_image does the decoding; before it sees a file, the file's structure is checked here, for
// what stb_image does not look at: checksums, the memory and time that a file may ask for, and the
// colour conversions in which it differs from Pillow.
//
// A PNG is handed over as header, pixel data and end only. Palettes are applied here: stb_image
// reads indices that lie beyond the palette from memory it never wrote, and Pillow gives such an
// index itself as grey.
#include "runtime/images/decode.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io/crc32.h"
#include "runtime/io/stb.h"

namespace sylvite {
namespace {

using Bytes = std::span<const std::byte>;

uint32_t byte_at(Bytes bytes, size_t i) {
  return std::to_integer<uint32_t>(bytes[i]);
}
uint32_t big16(Bytes bytes, size_t i) {
  return byte_at(bytes, i) << 8 | byte_at(bytes, i + 1);
}
uint32_t big32(Bytes bytes, size_t i) {
  return big16(bytes, i) << 16 | big16(bytes, i + 2);
}

Error check_size(uint32_t width, uint32_t height, const std::string &where) {
  if (width == 0 || height == 0) {
    return bad_input(where, ": is an empty image");
  }
  if (width > STBI_MAX_DIMENSIONS || height > STBI_MAX_DIMENSIONS ||
      int64_t{width} * height > kMaxImagePixels) {
    return bad_input(where, ": is too large: ", width, " x ", height, " pixels, at most ",
                     kMaxImagePixels);
  }
  return {};
}

// What decoding an honest file of these sizes may take, with room for buffers that grow by
// doubling.
size_t memory_budget(int64_t pixels, size_t file_bytes) {
  constexpr size_t kBase = size_t{16} << 20, kMost = size_t{768} << 20, kPerPixel = 40;
  return std::min(kMost, kBase + static_cast<size_t>(pixels) * kPerPixel + 4 * file_bytes);
}

// stb_image's pixels, freed at the end of the scope.
template <typename T>
struct StbPixels {
  T *data = nullptr;
  int width = 0, height = 0;
  StbPixels() = default;
  StbPixels(const StbPixels &) = delete;
  StbPixels &operator=(const StbPixels &) = delete;
  ~StbPixels() { stbi_image_free(data); }
};

Error decoder_error(const std::string &where, const char *format) {
  const char *const reason = stbi_failure_reason();
  if (reason != nullptr && std::string_view(reason) == "outofmem") {
    return {SYLVITE_OUT_OF_MEMORY, text_of(where, ": wants too much memory to be decoded")};
  }
  return bad_input(where, ": is a damaged or unsupported ", format, " file (",
                   reason != nullptr ? reason : "unknown reason", ")");
}

// Decodes to 8 bits a channel.
Result<Image> decode_bytes(Bytes bytes, int32_t channels, const std::string &where,
                           const char *format) {
  StbPixels<stbi_uc> pixels;
  int file_channels = 0;
  pixels.data = stbi_load_from_memory(reinterpret_cast<const stbi_uc *>(bytes.data()),
                                      static_cast<int>(bytes.size()), &pixels.width, &pixels.height,
                                      &file_channels, channels);
  if (pixels.data == nullptr) {
    return decoder_error(where, format);
  }
  Image image{pixels.width, pixels.height, channels, {}};
  const size_t count = size_t{1} * image.width * image.height * channels;
  if (Error error = resize_vector(image.pixels, count, where); !error.ok()) {
    return error;
  }
  std::memcpy(image.pixels.data(), pixels.data, count);
  return image;
}

// --- PNG -------------------------------------------------------------------------------------

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kChunkOverhead = 12, kHeaderBytes = 13;
constexpr uint32_t kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6;

struct Png {
  uint32_t width = 0, height = 0, depth = 0, colour = 0;
  std::array<uint8_t, 256 * 3> palette{};
  std::vector<std::byte>
      plain;  // the same file with header, data and end only; palette indices as grey
};

void append(std::vector<std::byte> &to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

Error parse_header(Bytes header, Png &png, const std::string &where) {
  if (header.size() != kHeaderBytes) {
    return bad_input(where, ": is a damaged PNG file: wrong header");
  }
  png.width = big32(header, 0);
  png.height = big32(header, 4);
  png.depth = byte_at(header, 8);
  png.colour = byte_at(header, 9);
  const bool small = png.depth == 1 || png.depth == 2 || png.depth == 4;
  const bool depth_ok = png.depth == 8 || (png.depth == 16 && png.colour != kPalette) ||
                        (small && (png.colour == kGrey || png.colour == kPalette));
  const bool colour_ok = png.colour == kGrey || png.colour == kRgb || png.colour == kPalette ||
                         png.colour == kGreyAlpha || png.colour == kRgba;
  if (!depth_ok || !colour_ok) {
    return bad_input(where, ": is a damaged PNG file: depth ", png.depth, " with colour type ",
                     png.colour);
  }
  return check_size(png.width, png.height, where);
}

// Walks the chunks, with their checksums, up to the end chunk.
Result<Png> parse_png(Bytes file, const std::string &where) {
  Png png;
  if (Error error = resize_vector(png.plain, file.size(), where); !error.ok()) {
    return error;
  }
  png.plain.clear();
  append(png.plain, file.first(kPngSignature.size()));
  bool has_header = false, has_palette = false, has_data = false;
  for (Bytes rest = file.subspan(kPngSignature.size());;) {
    if (rest.size() < kChunkOverhead || big32(rest, 0) > rest.size() - kChunkOverhead) {
      return bad_input(where, ": is a truncated PNG file");
    }
    const size_t length = big32(rest, 0);
    const Bytes chunk = rest.first(length + kChunkOverhead), body = chunk.subspan(8, length);
    const std::string_view type(reinterpret_cast<const char *>(chunk.data()) + 4, 4);
    rest = rest.subspan(chunk.size());
    if (crc32(0, chunk.subspan(4, length + 4)) != big32(chunk, length + 8)) {
      return bad_input(where, ": is a damaged PNG file: wrong checksum");
    }
    if (has_header == (type == "IHDR")) {
      return bad_input(where, ": is a damaged PNG file: the header must come first, once");
    }
    if (type == "IHDR") {
      if (Error error = parse_header(body, png, where); !error.ok()) {
        return error;
      }
      has_header = true;
      append(png.plain, chunk);
      if (png.colour == kPalette) {
        png.plain[kPngSignature.size() + 8 + 9] = std::byte{kGrey};
      }
    } else if (type == "PLTE") {
      if (length % 3 != 0 || length > png.palette.size() || has_data) {
        return bad_input(where, ": is a damaged PNG file: wrong palette");
      }
      std::memcpy(png.palette.data(), body.data(), length);
      has_palette = true;
    } else if (type == "IDAT") {
      append(png.plain, chunk);
      has_data = true;
    } else if (type == "IEND") {
      append(png.plain, chunk);
      break;
    } else if ((byte_at(chunk, 4) & 0x20) == 0) {
      return bad_input(where, ": is a PNG file with an unknown kind of data");
    }
  }
  if (!has_data || (png.colour == kPalette && !has_palette)) {
    return bad_input(where, ": is a damaged PNG file: no ", has_data ? "palette" : "pixels");
  }
  return png;
}

// stb_image scales grey of less than 8 bits to 0..255; the index is found back by dividing.
Result<Image> apply_palette(const Png &png, const Image &indices, const std::string &where) {
  Image image{indices.width, indices.height, 3, {}};
  if (Error error = resize_vector(image.pixels, indices.pixels.size() * 3, where); !error.ok()) {
    return error;
  }
  const uint32_t scale = 255 / ((1u << png.depth) - 1);
  for (size_t i = 0; i < indices.pixels.size(); ++i) {
    std::memcpy(&image.pixels[i * 3], &png.palette[indices.pixels[i] / scale * 3], 3);
  }
  return image;
}

Result<Image> decode_clipped_grey(Bytes bytes, const std::string &where) {
  StbPixels<stbi_us> pixels;
  int file_channels = 0;
  pixels.data = stbi_load_16_from_memory(reinterpret_cast<const stbi_uc *>(bytes.data()),
                                         static_cast<int>(bytes.size()), &pixels.width,
                                         &pixels.height, &file_channels, 1);
  if (pixels.data == nullptr) {
    return decoder_error(where, "PNG");
  }
  Image image{pixels.width, pixels.height, 1, {}};
  const size_t count = size_t{1} * image.width * image.height;
  if (Error error = resize_vector(image.pixels, count, where); !error.ok()) {
    return error;
  }
  for (size_t i = 0; i < count; ++i) {
    image.pixels[i] = static_cast<uint8_t>(std::min<stbi_us>(pixels.data[i], 255));
  }
  return image;
}

Result<Image> decode_png(Bytes file, const std::string &where) {
  Result<Png> parsed = parse_png(file, where);
  if (!parsed.ok()) {
    return parsed.error();
  }
  const Png &png = parsed.value();
  const StbMemory memory(memory_budget(int64_t{png.width} * png.height, file.size()));
  if (png.colour == kGrey && png.depth == 16) {
    return decode_clipped_grey(png.plain, where);
  }
  const bool one_channel =
      png.colour == kGrey || png.colour == kGreyAlpha || png.colour == kPalette;
  Result<Image> image = decode_bytes(png.plain, one_channel ? 1 : 3, where, "PNG");
  if (image.ok() && png.colour == kPalette) {
    return apply_palette(png, image.value(), where);
  }
  return image;
}

// --- JPEG ------------------------------------------------------------------------------------

struct Jpeg {
  uint32_t width = 0, height = 0, components = 0;
};

// Code lengths of Huffman tables: stb_image 2.27 believes counts that sum to more than a table
// holds. Notes which tables there are: bits 0 to 3 for DC, 4 to 7 for AC.
bool read_tables(Bytes segment, uint32_t &tables) {
  constexpr size_t kLengths = 16, kMostSymbols = 256;
  for (Bytes rest = segment.subspan(2); !rest.empty();) {
    if (rest.size() < 1 + kLengths) {
      return false;
    }
    size_t symbols = 0;
    for (size_t i = 1; i <= kLengths; ++i) {
      symbols += byte_at(rest, i);
    }
    const uint32_t kind = byte_at(rest, 0) >> 4, number = byte_at(rest, 0) & 15;
    if (symbols > kMostSymbols || symbols > rest.size() - 1 - kLengths || kind > 1 || number > 3) {
      return false;
    }
    tables |= 1u << (4 * kind + number);
    rest = rest.subspan(1 + kLengths + symbols);
  }
  return true;
}

// Whether the tables that a scan's header names are there. Progressive scans are of DC or AC alone.
bool scan_has_tables(Bytes segment, bool progressive, uint32_t tables) {
  const size_t components = segment.size() > 2 ? byte_at(segment, 2) : 0;
  if (components < 1 || components > 4 || segment.size() != 6 + 2 * components) {
    return false;
  }
  const bool first_is_dc = byte_at(segment, 3 + 2 * components) == 0;
  const bool refines = byte_at(segment, 5 + 2 * components) >> 4 != 0;
  const bool needs_dc = !progressive || (first_is_dc && !refines);
  const bool needs_ac = !progressive || !first_is_dc;
  for (size_t c = 0; c < components; ++c) {
    const uint32_t dc = byte_at(segment, 4 + 2 * c) >> 4, ac = byte_at(segment, 4 + 2 * c) & 15;
    if (dc > 3 || ac > 3 || (needs_dc && (tables >> dc & 1) == 0) ||
        (needs_ac && (tables >> (4 + ac) & 1) == 0)) {
      return false;
    }
  }
  return true;
}

// Walks the markers. A progressive file with very many scans would take minutes: each goes over the
// whole image.
Result<Jpeg> parse_jpeg(Bytes file, const std::string &where) {
  constexpr int kMostScans = 200;
  constexpr uint32_t kHuffmanTables = 0xc4, kApp14 = 0xee, kStartOfScan = 0xda, kEndOfImage = 0xd9;
  Jpeg jpeg;
  bool adobe = false, progressive = false;
  uint32_t tables = 0;  // the Huffman tables so far
  int scans = 0;
  size_t at = 2;
  for (;;) {
    // Between segments may stand fill bytes; after a scan's header, its data, in which 0xff is
    // followed by 0 or a restart marker.
    while (at + 1 < file.size() &&
           (byte_at(file, at) != 0xff || byte_at(file, at + 1) == 0 ||
            byte_at(file, at + 1) == 0xff || (byte_at(file, at + 1) & 0xf8) == 0xd0)) {
      ++at;
    }
    if (at + 1 >= file.size()) {
      return bad_input(where, ": is a truncated JPEG file");
    }
    const uint32_t marker = byte_at(file, at + 1);
    at += 2;
    if (marker == kEndOfImage) {
      break;
    }
    if (marker == 0xd8 || marker == 0x01) {
      continue;
    }
    if (file.size() - at < 2 || big16(file, at) < 2 || big16(file, at) > file.size() - at) {
      return bad_input(where, ": is a truncated JPEG file");
    }
    const Bytes segment = file.subspan(at, big16(file, at));
    at += segment.size();
    const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != kHuffmanTables &&
                       marker != 0xc8 && marker != 0xcc;
    if (marker == kHuffmanTables && !read_tables(segment, tables)) {
      return bad_input(where, ": is a damaged JPEG file: wrong Huffman tables");
    }
    if (frame) {
      if (segment.size() < 8 || jpeg.components != 0) {
        return bad_input(where, ": is a damaged JPEG file: wrong frame header");
      }
      if (marker > 0xc2) {
        return bad_input(where,
                         ": is a JPEG file of a kind that is not supported (lossless, "
                         "hierarchical or arithmetic)");
      }
      progressive = marker == 0xc2;
      jpeg.height = big16(segment, 3);
      jpeg.width = big16(segment, 5);
      jpeg.components = byte_at(segment, 7);
      if (Error error = check_size(jpeg.width, jpeg.height, where); !error.ok()) {
        return error;
      }
    } else if (marker == kApp14 && segment.size() >= 14 &&
               std::memcmp(segment.data() + 2, "Adobe", 5) == 0) {
      adobe = true;
    } else if (marker == kStartOfScan && !scan_has_tables(segment, progressive, tables)) {
      return bad_input(where, ": is a damaged JPEG file: a scan without its Huffman tables");
    } else if (marker == kStartOfScan && ++scans > kMostScans) {
      return bad_input(where, ": is a JPEG file with more than ", kMostScans, " scans");
    }
  }
  if (jpeg.components == 0 || scans == 0) {
    return bad_input(where, ": is a damaged JPEG file: no pixels");
  }
  if (jpeg.components == 4 && !adobe) {
    return bad_input(where, ": is a JPEG file in CMYK without Adobe's marker, not supported");
  }
  return jpeg;
}

Result<Image> decode_jpeg(Bytes file, const std::string &where) {
  const Result<Jpeg> jpeg = parse_jpeg(file, where);
  if (!jpeg.ok()) {
    return jpeg.error();
  }
  const StbMemory memory(
      memory_budget(int64_t{jpeg.value().width} * jpeg.value().height, file.size()));
  return decode_bytes(file, jpeg.value().components == 1 ? 1 : 3, where, "JPEG");
}

}  // namespace

Result<Image> decode_image(std::span<const std::byte> bytes, const std::string &where) {
  if (bytes.size() > static_cast<size_t>(kMaxImageFileBytes)) {
    return bad_input(where, ": is too large: ", bytes.size(), " bytes, at most ",
                     kMaxImageFileBytes);
  }
  if (bytes.size() >= kPngSignature.size() &&
      std::memcmp(bytes.data(), kPngSignature.data(), kPngSignature.size()) == 0) {
    return decode_png(bytes, where);
  }
  if (bytes.size() >= 3 && big16(bytes, 0) == 0xffd8 && byte_at(bytes, 2) == 0xff) {
    return decode_jpeg(bytes, where);
  }
  return bad_input(where, bytes.empty() ? ": is empty" : ": is not a PNG or JPEG file");
}

Result<Image> convert_channels(Image image, int32_t channels, const std::string &where) {
  if (image.channels == channels) {
    return image;
  }
  Image result{image.width, image.height, channels, {}};
  const size_t count = size_t{1} * image.width * image.height;
  if (Error error = resize_vector(result.pixels, count * static_cast<size_t>(channels), where);
      !error.ok()) {
    return error;
  }
  for (size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      std::memset(&result.pixels[i * 3], image.pixels[i], 3);
    } else {
      const uint8_t *const rgb = &image.pixels[i * 3];
      const uint32_t grey = rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u;
      result.pixels[i] = static_cast<uint8_t>(grey >> 16);
    }
  }
  return result;
}

}  // namespace sylvite
