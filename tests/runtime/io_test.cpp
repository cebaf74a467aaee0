// NumPy's files: what numpy wrote is read, what we write numpy reads, and no damaged file does
// harm.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/half.h"
#include "runtime/io/crc32.h"
#include "runtime/io/file.h"
#include "runtime/io/npy.h"
#include "runtime/io/tensor_file.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string golden(const std::string &name) {
  return SYLVITE_SOURCE_DIR "/tests/runtime/npy/" + name;
}

std::vector<std::byte> golden_bytes(const std::string &name) {
  Result<std::vector<std::byte>> bytes = read_file(golden(name), int64_t{1} << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.error().message;
  return bytes.ok() ? bytes.value() : std::vector<std::byte>{};
}

class TensorFile : public ::testing::Test {
 protected:
  std::string path(const std::string &name) const { return folder_.path(name); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  testing::TemporaryFolder folder_;
};

template <typename T>
T load(const std::byte *from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

double element(const HostTensor &tensor, size_t i) {
  const std::byte *const at =
      tensor.bytes.data() + i * static_cast<size_t>(dtype_size(tensor.dtype));
  switch (tensor.dtype) {
    case SYLVITE_F32:
      return load<float>(at);
    case SYLVITE_F64:
      return load<double>(at);
    case SYLVITE_F16:
      return float_of_half(load<uint16_t>(at));
    case SYLVITE_I8:
      return load<int8_t>(at);
    case SYLVITE_U8:
    case SYLVITE_BOOL:
      return load<uint8_t>(at);
    case SYLVITE_I16:
      return load<int16_t>(at);
    case SYLVITE_U16:
      return load<uint16_t>(at);
    case SYLVITE_I32:
      return load<int32_t>(at);
    case SYLVITE_U32:
      return load<uint32_t>(at);
    case SYLVITE_I64:
      return static_cast<double>(load<int64_t>(at));
    case SYLVITE_U64:
      return static_cast<double>(load<uint64_t>(at));
    default:
      ADD_FAILURE() << "no such element type";
      return 0;
  }
}

void expect_counting(const HostTensor &tensor) {
  ASSERT_EQ(static_cast<int64_t>(tensor.bytes.size()),
            element_count(tensor.dims) * dtype_size(tensor.dtype));
  for (size_t i = 0; i < static_cast<size_t>(element_count(tensor.dims)); ++i) {
    ASSERT_EQ(element(tensor, i), static_cast<double>(i)) << tensor.name << " element " << i;
  }
}

constexpr std::pair<const char *, sylvite_dtype> kTypes[] = {
    {"f4", SYLVITE_F32}, {"f8", SYLVITE_F64}, {"f2", SYLVITE_F16}, {"i1", SYLVITE_I8},
    {"u1", SYLVITE_U8},  {"i2", SYLVITE_I16}, {"u2", SYLVITE_U16}, {"i4", SYLVITE_I32},
    {"u4", SYLVITE_U32}, {"i8", SYLVITE_I64}, {"u8", SYLVITE_U64},
};

class NumpyArchive : public ::testing::TestWithParam<const char *> {};

TEST_P(NumpyArchive, IsRead) {
  Result<std::vector<HostTensor>> tensors = read_npz(golden(GetParam()));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  std::map<std::string, HostTensor> named;
  for (const HostTensor &tensor : tensors.value()) {
    named[tensor.name] = tensor;
  }
  EXPECT_EQ(tensors.value().front().name, "f4");  // the archive's order
  for (const auto &[name, dtype] : kTypes) {
    for (const std::string prefix : {"", "big/"}) {
      ASSERT_TRUE(named.contains(prefix + name)) << prefix << name;
      const HostTensor &tensor = named[prefix + name];
      EXPECT_EQ(tensor.dtype, dtype);
      EXPECT_EQ(tensor.dims,
                prefix.empty() ? (std::vector<int64_t>{2, 3, 4}) : (std::vector<int64_t>{3, 2}));
      expect_counting(tensor);
    }
  }
  EXPECT_EQ(named["bool"].dtype, SYLVITE_BOOL);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(element(named["bool"], i), static_cast<double>(i % 2));
  }
  EXPECT_TRUE(named["scalar"].dims.empty());
  EXPECT_EQ(element(named["scalar"], 0), 7.0);
  EXPECT_THAT(named["empty"].dims, ElementsAre(3, 0, 2));
  EXPECT_TRUE(named["empty"].bytes.empty());
  EXPECT_THAT(named["vector"].dims, ElementsAre(5));
  EXPECT_THAT(named["fortran"].dims, ElementsAre(2, 3, 4));
  expect_counting(named["fortran"]);
}
INSTANTIATE_TEST_SUITE_P(Npz, NumpyArchive, ::testing::Values("stored.npz", "deflated.npz"),
                         [](const auto &info) {
                           return std::string(info.param, std::strcspn(info.param, "."));
                         });

TEST(NumpyFile, OtherForms) {
  for (const char *const name : {"zip64.npz", "descriptor.npz"}) {
    const Result<std::vector<HostTensor>> tensors = read_npz(golden(name));
    ASSERT_TRUE(tensors.ok()) << tensors.error().message;
    ASSERT_EQ(tensors.value().size(), 1u);
    EXPECT_EQ(tensors.value()[0].name, "x");
    EXPECT_THAT(tensors.value()[0].dims, ElementsAre(2, 3));
    expect_counting(tensors.value()[0]);
  }
  for (const char *const name : {"version-1.npy", "version-2.npy", "version-3.npy"}) {
    const Result<HostTensor> tensor = read_npy(golden(name));
    ASSERT_TRUE(tensor.ok()) << tensor.error().message;
    EXPECT_THAT(tensor.value().dims, ElementsAre(2, 3));
    expect_counting(tensor.value());
  }
  const Result<std::vector<HostTensor>> packed = read_npz(golden("long.npz"));
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  for (size_t i = 0; i < 30000; ++i) {
    ASSERT_EQ(element(packed.value()[0], i), static_cast<double>(i % 97));
  }
}

TEST(Crc32, KnownValue) {
  const std::string text = "123456789";
  EXPECT_EQ(crc32(0, std::as_bytes(std::span(text))), 0xcbf43926u);
  // In any pieces.
  std::vector<std::byte> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 37);
  }
  const uint32_t whole = crc32(0, bytes);
  for (size_t cut = 0; cut < 40; ++cut) {
    EXPECT_EQ(crc32(crc32(0, std::span(bytes).first(cut)), std::span(bytes).subspan(cut)), whole);
  }
}

// --- Writing ---------------------------------------------------------------------------------

std::vector<HostTensor> sample_tensors() {
  std::vector<HostTensor> tensors;
  for (const auto &[name, dtype] : kTypes) {
    HostTensor tensor{name, dtype, {3, 5}, {}};
    tensor.bytes.resize(15 * static_cast<size_t>(dtype_size(dtype)));
    for (size_t i = 0; i < tensor.bytes.size(); ++i) {
      tensor.bytes[i] = static_cast<std::byte>(i * 11 % 64);
    }
    tensors.push_back(tensor);
  }
  tensors.push_back({"flags", SYLVITE_BOOL, {2}, {std::byte{0}, std::byte{1}}});
  tensors.push_back({"nothing", SYLVITE_F32, {0, 7}, {}});
  tensors.push_back({"scalar", SYLVITE_F32, {}, std::vector<std::byte>(4)});
  tensors.push_back({"deep/names.are: fine", SYLVITE_U8, {1, 1, 1, 1, 1, 1, 1, 1}, {std::byte{9}}});
  return tensors;
}

std::vector<ArrayView> views_of(const std::vector<HostTensor> &tensors) {
  return {tensors.begin(), tensors.end()};
}

TEST_F(TensorFile, ArchiveRoundTrips) {
  const std::vector<HostTensor> tensors = sample_tensors();
  const Error error = write_npz(path("x.npz"), views_of(tensors));
  ASSERT_TRUE(error.ok()) << error.message;
  const Result<std::vector<HostTensor>> back = read_npz(path("x.npz"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back.value().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(back.value()[i].name, tensors[i].name);
    EXPECT_EQ(back.value()[i].dtype, tensors[i].dtype);
    EXPECT_EQ(back.value()[i].dims, tensors[i].dims);
    EXPECT_EQ(back.value()[i].bytes, tensors[i].bytes);
  }
  EXPECT_THAT(files(), ElementsAre("x.npz"));
}

TEST_F(TensorFile, SameTensorsGiveSameBytes) {
  const std::vector<HostTensor> tensors = sample_tensors();
  ASSERT_TRUE(write_npz(path("a.npz"), views_of(tensors)).ok());
  ASSERT_TRUE(write_npz(path("b.npz"), views_of(tensors)).ok());
  EXPECT_EQ(read_file(path("a.npz"), 1 << 20).value(), read_file(path("b.npz"), 1 << 20).value());
}

TEST_F(TensorFile, EmptyArchive) {
  ASSERT_TRUE(write_npz(path("x.npz"), {}).ok());
  const Result<std::vector<HostTensor>> back = read_npz(path("x.npz"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_TRUE(back.value().empty());
}

TEST_F(TensorFile, SingleArraysRoundTrip) {
  for (const HostTensor &tensor : sample_tensors()) {
    ASSERT_TRUE(write_npy(path("x.npy"), tensor).ok());
    const Result<HostTensor> back = read_npy(path("x.npy"));
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ(back.value().dtype, tensor.dtype);
    EXPECT_EQ(back.value().dims, tensor.dims);
    EXPECT_EQ(back.value().bytes, tensor.bytes);
  }
}

TEST_F(TensorFile, Bfloat16IsWrittenAsFloat32) {
  const uint16_t values[] = {bfloat16_of_float(1.5f), bfloat16_of_float(-3.0f)};
  HostTensor tensor{"x", SYLVITE_BF16, {2}, {}};
  const auto bytes = std::as_bytes(std::span(values));
  tensor.bytes.assign(bytes.begin(), bytes.end());
  ASSERT_TRUE(write_npy(path("x.npy"), tensor).ok());
  const Result<HostTensor> back = read_npy(path("x.npy"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back.value().dtype, SYLVITE_F32);
  EXPECT_EQ(element(back.value(), 0), 1.5);
  EXPECT_EQ(element(back.value(), 1), -3.0);
}

TEST_F(TensorFile, NumpyReadsWhatWeWrite) {
  if (access(SYLVITE_PYTHON, X_OK) != 0) {
    GTEST_SKIP() << "no " SYLVITE_PYTHON;
  }
  const std::vector<HostTensor> tensors = sample_tensors();
  ASSERT_TRUE(write_npz(path("x.npz"), views_of(tensors)).ok());
  ASSERT_TRUE(write_npy(path("x.npy"), tensors[0]).ok());
  std::ofstream(path("check.py")) << R"(
import sys, zipfile
import numpy as np
folder = sys.argv[1]
assert zipfile.ZipFile(folder + "/x.npz").testzip() is None
arrays = np.load(folder + "/x.npz", allow_pickle=False)
for name in "f4 f8 f2 i1 u1 i2 u2 i4 u4 i8 u8".split():
    array = arrays[name]
    assert array.dtype == np.dtype("<" + name) and array.shape == (3, 5), name
    assert array.tobytes() == bytes(i * 11 % 64 for i in range(array.nbytes)), name
assert arrays["flags"].dtype == bool and arrays["flags"].tolist() == [False, True]
assert arrays["nothing"].shape == (0, 7) and arrays["scalar"].shape == ()
assert arrays["deep/names.are: fine"].shape == (1,) * 8
assert (np.load(folder + "/x.npy", allow_pickle=False) == arrays["f4"]).all()
)";
  const std::string command = SYLVITE_PYTHON " " + path("check.py") + " " + folder_.path().string();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST_F(TensorFile, WriteFailsWhole) {
  const std::vector<HostTensor> tensors = sample_tensors();
  Error error = write_npz(path("no/such/folder.npz"), views_of(tensors));
  EXPECT_EQ(error.code, SYLVITE_BAD_INPUT);
  EXPECT_THAT(error.message, HasSubstr("no/such/folder.npz: cannot be written: "));
  EXPECT_THAT(write_npz(folder_.path().string(), views_of(tensors)).message,
              HasSubstr("is a folder"));
  // A full device.
  if (access("/dev/full", W_OK) == 0) {
    error = write_npz("/dev/full", views_of(tensors));
    EXPECT_THAT(error.message, HasSubstr("/dev/full: cannot be written: No space left"));
  }
  // A full disk, in the middle: the old file stays, and nothing else.
  ASSERT_TRUE(write_npz(path("x.npz"), {}).ok());
  const std::vector<std::byte> before = read_file(path("x.npz"), 1 << 20).value();
  const HostTensor large{"x", SYLVITE_U8, {1 << 20}, std::vector<std::byte>(1 << 20)};
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1 << 18, old.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  error = write_npz(path("x.npz"), views_of({large}));
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(error.message, HasSubstr("x.npz: cannot be written: "));
  EXPECT_EQ(read_file(path("x.npz"), 1 << 20).value(), before);
  EXPECT_THAT(files(), ElementsAre("x.npz"));
}

TEST_F(TensorFile, LinksArePreservedAndPermissionsUsual) {
  ASSERT_TRUE(write_npz(path("x.npz"), {}).ok());
  ASSERT_EQ(symlink(path("x.npz").c_str(), path("link.npz").c_str()), 0);
  ASSERT_TRUE(write_npz(path("link.npz"), views_of(sample_tensors())).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(path("link.npz")));
  EXPECT_EQ(read_npz(path("x.npz")).value().size(), sample_tensors().size());
  const mode_t mask = umask(0);
  umask(mask);
  struct stat status{};
  ASSERT_EQ(stat(path("x.npz").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask);
}

TEST_F(TensorFile, APipeWithoutAWriterDoesNotHang) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const Result<HostTensor> tensor = read_npy(path("pipe"));
  ASSERT_FALSE(tensor.ok());
  EXPECT_EQ(tensor.error().message, path("pipe") + ": is a pipe that nobody writes to");
}

TEST_F(TensorFile, ReadsFromAPipe) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const std::string command = "cat '" + golden("stored.npz") + "' > '" + path("pipe") + "' &";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Result<std::vector<HostTensor>> tensors = read_npz(path("pipe"));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  EXPECT_EQ(tensors.value().size(), read_npz(golden("stored.npz")).value().size());
}

// --- Hostile files ---------------------------------------------------------------------------

template <typename T>
std::string error_of(const Result<T> &result) {
  EXPECT_FALSE(result.ok());
  if (result.ok()) {
    return "";
  }
  EXPECT_NE(result.error().code, SYLVITE_OK);
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos) << result.error().message;
  return result.error().message;
}

std::vector<std::byte> npy_with(const std::string &dictionary, size_t data) {
  std::string file = std::string("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(dictionary.size() & 255);
  file += static_cast<char>(dictionary.size() >> 8);
  file += dictionary;
  file.resize(file.size() + data, '\x05');
  const auto bytes = std::as_bytes(std::span(file));
  return {bytes.begin(), bytes.end()};
}

std::string npy_error(const std::string &dictionary, size_t data = 24) {
  return error_of(parse_npy(npy_with(dictionary, data), "x.npy"));
}

TEST(HostileNpy, HeaderForms) {
  // What is accepted, though numpy writes it otherwise.
  for (const char *const text :
       {"{'shape':(2,3),'fortran_order':False,'descr':'<f4'}",
        "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (2L, 3L), }\n",
        "{'descr': '=f4', 'fortran_order': False, 'shape': (2, 3,)}   \n"}) {
    const Result<HostTensor> tensor = parse_npy(npy_with(text, 24), "x.npy");
    ASSERT_TRUE(tensor.ok()) << text << ": " << tensor.error().message;
    EXPECT_THAT(tensor.value().dims, ElementsAre(2, 3));
  }
  const char *const kRefused[] = {
      "",
      "{",
      "{}",
      "{'descr': '<f4'}",
      "not a dictionary",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0,)}",
      "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}",
      "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
  };
  for (const char *const text : kRefused) {
    EXPECT_THAT(npy_error(text), HasSubstr("x.npy: its header is not that of a plain array"))
        << text;
  }
}

TEST(HostileNpy, TypesAndSizes) {
  const auto shaped = [](const std::string &shape, const std::string &type = "<f4") {
    return "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + ")}";
  };
  for (const char *const type : {"<c8", "|O", "|S3", "<U2", "<V2", "<f16", "f4", "<i3", "", "<"}) {
    EXPECT_THAT(npy_error(shaped("6,", type)),
                HasSubstr("element type '" + std::string(type) + "' is not supported"));
  }
  EXPECT_THAT(npy_error(shaped("1,2,3,1,1,1,1,1,1")), HasSubstr("has 9 dimensions, at most 8"));
  EXPECT_THAT(npy_error(shaped("1000000000,")), HasSubstr("larger than"));
  EXPECT_THAT(npy_error(shaped("100000, 100000, 100000")), HasSubstr("larger than"));
  EXPECT_THAT(npy_error(shaped("4294967296, 4294967296")), HasSubstr("larger than"));
  EXPECT_THAT(npy_error(shaped("268435456,")), HasSubstr("is truncated"));  // exactly 1 GiB
  EXPECT_THAT(npy_error(shaped("7,")), HasSubstr("announces 28 bytes of data, there are 24"));
  EXPECT_THAT(npy_error(shaped("5,")), HasSubstr("is too long"));
  EXPECT_EQ(parse_npy(npy_with(shaped("0, 999999999"), 0), "x").value().bytes.size(), 0u);
  // Bools other than 0 are 1.
  const Result<HostTensor> bools = parse_npy(npy_with(shaped("24,", "|b1"), 24), "x");
  ASSERT_TRUE(bools.ok());
  EXPECT_EQ(bools.value().bytes, std::vector<std::byte>(24, std::byte{1}));
}

// A product that is not computed: it would overflow before the zero is reached.
TEST(ElementCount, OfHugeShapes) {
  constexpr int64_t kLarge = int64_t{1} << 30;
  const auto count = [](const std::vector<int64_t> &dims) { return element_count(dims); };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({2, 3, 4}), 24);
  EXPECT_EQ(count({kLarge, kLarge, kLarge, 0}), 0);
  EXPECT_EQ(count({kLarge, kLarge, kLarge}), std::numeric_limits<int64_t>::max());
  const Result<HostTensor> empty = parse_npy(
      npy_with("{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824, 1073741824, "
               "1073741824, 0)}",
               0),
      "x");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(element_count(empty.value().dims), 0);
}

TEST(HostileNpy, OtherFiles) {
  EXPECT_THAT(error_of(read_npy("/no/such/file.npy")),
              HasSubstr("/no/such/file.npy: cannot be opened: No such file"));
  EXPECT_THAT(error_of(read_npy("/")), HasSubstr("/: is a folder"));
  EXPECT_THAT(error_of(parse_npy({}, "x.npy")), HasSubstr("is not a .npy file"));
  EXPECT_THAT(error_of(read_npy(golden("stored.npz"))), HasSubstr("is not a .npy file"));
  EXPECT_THAT(error_of(read_npy(golden("pickle.npy"))), HasSubstr("'|O' is not supported"));
  EXPECT_THAT(error_of(read_npy(golden("complex.npy"))), HasSubstr("'<c8' is not supported"));
  EXPECT_THAT(error_of(read_npy(golden("record.npy"))), HasSubstr("not that of a plain array"));
  EXPECT_THAT(error_of(read_npz(golden("version-1.npy"))), HasSubstr("is not a .npz file"));
  EXPECT_THAT(error_of(read_npz(golden("foreign.npz"))),
              HasSubstr("'notes.txt': is not a .npy entry"));
  EXPECT_THAT(error_of(read_npz(golden("bzip2.npz"))),
              HasSubstr("'x.npy': compression method 12 is not supported"));
  EXPECT_THAT(error_of(read_npz(golden("twice.npz"))), HasSubstr("two arrays named 'x'"));
  std::vector<std::byte> future = golden_bytes("version-1.npy");
  future[6] = std::byte{9};
  EXPECT_THAT(error_of(parse_npy(future, "x.npy")), HasSubstr("version 9"));
}

// Puts `value` where the archive's only entry keeps a field of its directory.
std::vector<std::byte> patched(std::vector<std::byte> file, size_t field, uint32_t value,
                               size_t size) {
  constexpr std::byte kSignature[] = {std::byte{'P'}, std::byte{'K'}, std::byte{1}, std::byte{2}};
  const auto at =
      std::search(file.begin(), file.end(), std::begin(kSignature), std::end(kSignature));
  std::memcpy(&*(at + static_cast<ptrdiff_t>(field)), &value, size);
  return file;
}

TEST(HostileNpz, DirectoryLies) {
  const std::vector<std::byte> file = golden_bytes("long.npz");
  const auto error = [&](size_t field, uint32_t value, size_t size) {
    return error_of(parse_npz(patched(file, field, value, size), "x.npz"));
  };
  EXPECT_THAT(error(16, 0, 4), HasSubstr("'long.npy': is damaged: wrong checksum"));
  EXPECT_THAT(error(20, 0x7fffffff, 4), HasSubstr("is truncated"));
  EXPECT_THAT(error(24, 0x3fffffff, 4), HasSubstr("cannot come from"));
  EXPECT_THAT(error(24, 0xfffffffe, 4), HasSubstr("larger than"));
  EXPECT_THAT(error(24, 1000, 4), HasSubstr("cannot be decompressed"));
  EXPECT_THAT(error(42, 0x7fffffff, 4), HasSubstr("lies outside the file"));
  EXPECT_THAT(error(42, 1, 4), HasSubstr("no entry where the directory says"));
  EXPECT_THAT(error(8, 1, 2), HasSubstr("is encrypted"));
  EXPECT_THAT(error(28, 0xffff, 2), HasSubstr("directory is truncated"));
  EXPECT_THAT(error(42, 0xffffffff, 4), HasSubstr("zip64 sizes are missing"));
}

// A few kilobytes that claim, and would unpack to, more than the limit in all.
TEST(HostileNpz, EntriesMayShareBytes) {
  const std::vector<std::byte> file = golden_bytes("long.npz");
  constexpr std::byte kSignature[] = {std::byte{'P'}, std::byte{'K'}, std::byte{1}, std::byte{2}};
  const auto central =
      std::search(file.begin(), file.end(), std::begin(kSignature), std::end(kSignature));
  const std::vector<std::byte> entry(central, file.end() - 22);
  std::vector<std::byte> bomb(file.begin(), central);
  constexpr uint32_t kCopies = 20000;
  for (uint32_t i = 0; i < kCopies; ++i) {
    bomb.insert(bomb.end(), entry.begin(), entry.end());
  }
  const auto bytes = static_cast<uint32_t>(kCopies * entry.size());
  std::vector<std::byte> end(file.end() - 22, file.end());
  std::memcpy(&end[8], &kCopies, 2);
  std::memcpy(&end[10], &kCopies, 2);
  std::memcpy(&end[12], &bytes, 4);
  bomb.insert(bomb.end(), end.begin(), end.end());
  const std::clock_t start = std::clock();  // other work on the machine does not count
  EXPECT_THAT(error_of(parse_npz(bomb, "x.npz")), HasSubstr("larger than"));
  EXPECT_LT(std::clock() - start, 2 * CLOCKS_PER_SEC);
}

TEST(HostileNpz, TruncatedAnywhere) {
  for (const char *const name : {"stored.npz", "deflated.npz", "zip64.npz", "descriptor.npz"}) {
    const std::vector<std::byte> file = golden_bytes(name);
    for (size_t size = 0; size < file.size(); ++size) {
      // An exact copy, so that a sanitizer sees a read beyond the end.
      const std::vector<std::byte> part(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_FALSE(parse_npz(part, "x.npz").ok()) << name << " cut to " << size;
    }
  }
  for (const char *const name : {"version-1.npy", "version-2.npy"}) {
    const std::vector<std::byte> file = golden_bytes(name);
    for (size_t size = 0; size < file.size(); ++size) {
      const std::vector<std::byte> part(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_FALSE(parse_npy(part, "x.npy").ok()) << name << " cut to " << size;
    }
  }
}

TEST(HostileNpz, RandomFlips) {
  std::mt19937 random(1);
  for (const char *const name :
       {"stored.npz", "deflated.npz", "zip64.npz", "descriptor.npz", "version-2.npy"}) {
    const std::vector<std::byte> original = golden_bytes(name);
    for (int round = 0; round < 2000; ++round) {
      std::vector<std::byte> file = original;
      for (uint32_t flips = random() % 4 + 1; flips > 0; --flips) {
        file[random() % file.size()] ^= static_cast<std::byte>(1u << random() % 8);
      }
      std::vector<HostTensor> tensors;
      if (std::string(name).ends_with(".npy")) {
        if (Result<HostTensor> tensor = parse_npy(file, "x"); tensor.ok()) {
          tensors.push_back(tensor.value());
        }
      } else if (Result<std::vector<HostTensor>> all = parse_npz(file, "x"); all.ok()) {
        tensors = all.value();
      }
      for (const HostTensor &tensor : tensors) {  // what is accepted is consistent
        ASSERT_EQ(static_cast<int64_t>(tensor.bytes.size()),
                  element_count(tensor.dims) * dtype_size(tensor.dtype));
      }
    }
  }
}

}  // namespace
}  // namespace sylvite
