// top_k, scatter_nd, scatter_elements, append: data decides what they write where, so no loop nest
// of a formula computes them. Plain C++, once for each element type; not split further than abi.h
// says.
#include "runtime/library_kernels.h"

#include <string.h>

#include <cmath>
#include <type_traits>

#include "runtime/dtype.h"
#include "runtime/half.h"

namespace sylvite {
namespace {

thread_local BadIndex t_bad_index;

// Arguments in order, as abi.h lists them.
class Arguments {
 public:
  explicit Arguments(void **args) : next_(args) {}
  int64_t number() { return *static_cast<const int32_t *>(*next_++); }
  uint8_t *host() { return static_cast<const syl_halide_buffer *>(*next_++)->host; }

 private:
  void **next_;
};

// 16-bit floats by their bits.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <typename T>
T load(T value) {
  return value;
}
float load(Half value) {
  return float_of_half(value.bits);
}
float load(BFloat16 value) {
  return float_of_bfloat16(value.bits);
}

template <typename T, typename U>
T store(U value) {
  if constexpr (std::is_same_v<T, Half>) {
    return {half_of_float(value)};
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return {bfloat16_of_float(value)};
  } else {
    return static_cast<T>(value);
  }
}

template <typename Work>
void with_type(int64_t dtype, const Work &work) {
  switch (dtype) {
    case SYL_F32:
      return work(float{});
    case SYL_F64:
      return work(double{});
    case SYL_F16:
      return work(Half{});
    case SYL_BF16:
      return work(BFloat16{});
    case SYL_I8:
      return work(int8_t{});
    case SYL_I16:
      return work(int16_t{});
    case SYL_U16:
      return work(uint16_t{});
    case SYL_I32:
      return work(int32_t{});
    case SYL_U32:
      return work(uint32_t{});
    case SYL_I64:
      return work(int64_t{});
    case SYL_U64:
      return work(uint64_t{});
    case SYL_BOOL:
      return work(bool{});
    default:
      return work(uint8_t{});
  }
}

// ---- top_k ----

// The k best so far of one line, as a heap with the worst at its root, in the outputs themselves:
// no working space, and one comparison for each element that does not make it.
template <typename T>
class Best {
 public:
  Best(const T *line, T *values, int64_t *indices, int64_t stride, bool largest)
      : line_(line), values_(values), indices_(indices), stride_(stride), largest_(largest) {}

  void add(int64_t index, int64_t k) {
    if (size_ < k) {
      sift_up(size_++, index);
    } else if (before(index, indices_[0])) {
      sift_down(0, index, size_);
    }
  }

  void sort() {
    for (int64_t end = size_ - 1; end > 0; --end) {
      const int64_t worst = indices_[0], last = indices_[end * stride_];
      sift_down(0, last, end);
      put(end, worst);
    }
  }

 private:
  // Equal values keep the order of their indices; NaN counts as greater than every number.
  bool before(int64_t a, int64_t b) const {
    const auto x = load(line_[a * stride_]), y = load(line_[b * stride_]);
    const bool greater = x > y || (x != x && y == y), less = x < y || (x == x && y != y);
    if (greater || less) {
      return greater == largest_;
    }
    return a < b;
  }

  void put(int64_t place, int64_t index) {
    indices_[place * stride_] = index;
    values_[place * stride_] = line_[index * stride_];
  }

  void sift_up(int64_t place, int64_t index) {
    while (place > 0 && before(indices_[(place - 1) / 2 * stride_], index)) {
      put(place, indices_[(place - 1) / 2 * stride_]);
      place = (place - 1) / 2;
    }
    put(place, index);
  }

  void sift_down(int64_t place, int64_t index, int64_t size) {
    for (int64_t child = 1; child < size; child = 2 * place + 1) {
      if (child + 1 < size && before(indices_[child * stride_], indices_[(child + 1) * stride_])) {
        ++child;
      }
      if (!before(index, indices_[child * stride_])) {
        break;
      }
      put(place, indices_[child * stride_]);
      place = child;
    }
    put(place, index);
  }

  const T *line_;
  T *values_;
  int64_t *indices_;
  int64_t stride_;
  bool largest_;
  int64_t size_ = 0;
};

// ---- scatter ----

template <typename T>
void combine(T &to, T update, int64_t reduction) {
  if (reduction == SYL_REDUCE_NONE) {
    to = update;
    return;
  }
  const auto a = load(to), b = load(update);
  using Number = std::decay_t<decltype(a)>;
  Number result = b;
  if constexpr (std::is_same_v<Number, bool>) {
    result = reduction == SYL_REDUCE_ADD || reduction == SYL_REDUCE_MAX ? a || b : a && b;
  } else if constexpr (std::is_floating_point_v<Number>) {
    result = reduction == SYL_REDUCE_ADD   ? a + b
             : reduction == SYL_REDUCE_MUL ? a * b
             : reduction == SYL_REDUCE_MIN ? std::fmin(a, b)
                                           : std::fmax(a, b);
  } else {
    using Wide = uint64_t;  // wraps around
    result = reduction == SYL_REDUCE_ADD
                 ? static_cast<Number>(static_cast<Wide>(a) + static_cast<Wide>(b))
             : reduction == SYL_REDUCE_MUL
                 ? static_cast<Number>(static_cast<Wide>(a) * static_cast<Wide>(b))
             : reduction == SYL_REDUCE_MIN ? (b < a ? b : a)
                                           : (a < b ? b : a);
  }
  to = store<T>(result);
}

class Indices {
 public:
  Indices(const void *data, int64_t dtype) : data_(data), wide_(dtype == SYL_I64) {}
  // Element i, counted from the front of a dimension of `bound`; false when it is out of range.
  bool read(int64_t i, int64_t bound, int64_t *index) const {
    const int64_t value =
        wide_ ? static_cast<const int64_t *>(data_)[i] : static_cast<const int32_t *>(data_)[i];
    if (value < -bound || value >= bound) {
      t_bad_index = {value, i, bound};
      return false;
    }
    *index = value < 0 ? value + bound : value;
    return true;
  }

 private:
  const void *data_;
  bool wide_;
};

void copy_data(uint8_t *to, const uint8_t *from, int64_t count, int64_t dtype) {
  if (to != from && count > 0) {
    memcpy(to, from, static_cast<size_t>(count * dtype_size(static_cast<sylvite_dtype>(dtype))));
  }
}

constexpr int64_t kMaxDepth = kSylviteMaxRank;

}  // namespace

const BadIndex &last_bad_index() {
  return t_bad_index;
}

}  // namespace sylvite

using namespace sylvite;  // the definitions below have C names

extern "C" int32_t sylvite_library_top_k(void **args) {
  Arguments arguments(args);
  const int64_t begin = arguments.number(), end = arguments.number();
  arguments.number(), arguments.number();
  const int64_t dtype = arguments.number(), size = arguments.number(), inner = arguments.number();
  const int64_t k = arguments.number();
  const bool largest = arguments.number() != 0;
  arguments.number();  // sorted: always
  const uint8_t *data = arguments.host();
  uint8_t *values = arguments.host();
  int64_t *indices = reinterpret_cast<int64_t *>(arguments.host());
  if (k <= 0 || inner <= 0) {
    return 0;
  }
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t from = row / inner * size * inner + row % inner,
                    to = row / inner * k * inner + row % inner;
      Best<T> best(reinterpret_cast<const T *>(data) + from, reinterpret_cast<T *>(values) + to,
                   indices + to, inner, largest);
      for (int64_t i = 0; i < size; ++i) {
        best.add(i, k);
      }
      best.sort();
    }
  });
  return 0;
}

extern "C" int32_t sylvite_library_scatter_nd(void **args) {
  Arguments arguments(args + 4);
  const int64_t dtype = arguments.number(), index_dtype = arguments.number(),
                reduction = arguments.number();
  const int64_t depth = arguments.number(), tuples = arguments.number(), slice = arguments.number();
  int64_t dims[kMaxDepth] = {};
  int64_t count = slice;
  for (int64_t i = 0; i < depth; ++i) {
    dims[i] = arguments.number();
    count *= dims[i];
  }
  const uint8_t *data = arguments.host();
  const Indices indices(arguments.host(), index_dtype);
  const uint8_t *updates = arguments.host();
  uint8_t *output = arguments.host();
  copy_data(output, data, count, dtype);
  int32_t result = 0;
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t tuple = 0; tuple < tuples; ++tuple) {
      int64_t at = 0;
      for (int64_t i = 0; i < depth; ++i) {
        int64_t index = 0;
        if (!indices.read(tuple * depth + i, dims[i], &index)) {
          result = kLibraryBadIndex;
          return;
        }
        at = at * dims[i] + index;
      }
      T *to = reinterpret_cast<T *>(output) + at * slice;
      const T *from = reinterpret_cast<const T *>(updates) + tuple * slice;
      for (int64_t i = 0; i < slice; ++i) {
        combine(to[i], from[i], reduction);
      }
    }
  });
  return result;
}

extern "C" int32_t sylvite_library_scatter_elements(void **args) {
  Arguments arguments(args + 4);
  const int64_t dtype = arguments.number(), index_dtype = arguments.number(),
                reduction = arguments.number();
  const int64_t axis = arguments.number(), rank = arguments.number();
  int64_t dims[kMaxDepth] = {}, index_dims[kMaxDepth] = {}, strides[kMaxDepth] = {};
  for (int64_t i = 0; i < rank; ++i) {
    dims[i] = arguments.number();
  }
  int64_t updates_count = 1;
  for (int64_t i = 0; i < rank; ++i) {
    index_dims[i] = arguments.number();
    updates_count *= index_dims[i];
  }
  int64_t count = 1;
  for (int64_t i = rank - 1; i >= 0; --i) {
    strides[i] = count;
    count *= dims[i];
  }
  const uint8_t *data = arguments.host();
  const Indices indices(arguments.host(), index_dtype);
  const uint8_t *updates = arguments.host();
  uint8_t *output = arguments.host();
  copy_data(output, data, count, dtype);
  int32_t result = 0;
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    int64_t place[kMaxDepth] = {};  // of update i
    for (int64_t i = 0; i < updates_count; ++i) {
      int64_t index = 0, at = 0;
      if (!indices.read(i, dims[axis], &index)) {
        result = kLibraryBadIndex;
        return;
      }
      for (int64_t d = 0; d < rank; ++d) {
        at += (d == axis ? index : place[d]) * strides[d];
      }
      combine(reinterpret_cast<T *>(output)[at], reinterpret_cast<const T *>(updates)[i],
              reduction);
      for (int64_t d = rank - 1; d >= 0 && ++place[d] == index_dims[d]; --d) {
        place[d] = 0;
      }
    }
  });
  return result;
}

extern "C" int32_t sylvite_library_append(void **args) {
  Arguments arguments(args + 4);
  const int64_t dtype = arguments.number(), blocks = arguments.number(), heads = arguments.number(),
                size = arguments.number();
  const int64_t batch = arguments.number(), columns = arguments.number(),
                length = arguments.number(), past = arguments.number();
  const uint8_t *pool = arguments.host();
  const Indices table(arguments.host(), SYL_I32);
  const uint8_t *rows = arguments.host();
  uint8_t *to = arguments.host();
  const int64_t bytes = size * dtype_size(static_cast<sylvite_dtype>(dtype));
  copy_data(to, pool, blocks * heads * kSylviteCacheBlock * size, dtype);  // in a plan: the same
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      const int64_t column = (past + t) / kSylviteCacheBlock;
      int64_t block = 0;
      if (column >= columns || !table.read(b * columns + column, blocks, &block)) {
        return kLibraryBadIndex;
      }
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t place =
            (block * heads + head) * kSylviteCacheBlock + (past + t) % kSylviteCacheBlock;
        memcpy(to + place * bytes, rows + ((b * heads + head) * length + t) * bytes,
               static_cast<size_t>(bytes));
      }
    }
  }
  return 0;
}
