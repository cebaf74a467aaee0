/* What compiled artifacts and the runtime agree on: the one header that compiler/codegen shares
 * with the runtime. Plain C, so that a plan printed as C++ or LLVM IR uses the same layout. The
 * plan object defines one `sylvite_program` descriptor; the runtime reads it and calls its
 * functions. All of it is read-only.
 *
 * Change kSylviteAbiVersion with any layout change. */
/* Tables and lists in comments keep their lines. */
/* clang-format off */
#ifndef SYLVITE_RUNTIME_ABI_H_
#define SYLVITE_RUNTIME_ABI_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kSylviteAbiVersion = 5, kSylviteMaxRank = 8, kSylviteIsaCount = 2 };

/* Element types; the same order as the compiler's DType. */
enum sylvite_dtype_code {
  SYL_F32, SYL_F64, SYL_F16, SYL_BF16, SYL_I8, SYL_U8, SYL_I16, SYL_U16, SYL_I32, SYL_U32, SYL_I64, SYL_U64,
  SYL_BOOL
};

/* ISA levels, ascending; an index into sylvite_kernel.function. */
enum sylvite_isa { SYL_X86_64_V3, SYL_X86_64_V4 };

/* Halide's buffer structure (HalideRuntime.h of Halide 21), 56 bytes. Kernels read only `host`: extents and
 * strides are constants or symbols of the kernel. `dim` points to zeroes. */
struct syl_halide_dimension { int32_t min, extent, stride; uint32_t flags; };
struct syl_halide_buffer {
  uint64_t device;
  const void *device_interface;
  uint8_t *host;
  uint64_t flags;
  uint8_t type_code, type_bits;
  uint16_t type_lanes;
  int32_t dimensions;
  struct syl_halide_dimension *dim;
  void *padding;
};

/* A kernel, as Halide's argv form: args[i] points to a scalar or to a syl_halide_buffer, in this order:
 *   4 x int32_t    begin0, end0, begin1, end1: the part of the split axes to compute
 *   S x int32_t    the values of the kernel's symbols
 *   I x buffer     inputs (weights among them): host is the whole tensor's first element
 *   1 x buffer     scratch, where scratch_bytes says there is one
 *   O x buffer     outputs: host is the whole tensor's first element (not the part's)
 * Returns 0; a library kernel (top_k, ..., below) has the same form and returns 1 for an index out of range.
 * Alignment: intermediates, outputs, weights and scratch stand at multiples of 64 bytes; the model's inputs
 * only at multiples of their element's size. An empty tensor has a valid, aligned host pointer too. */
typedef int32_t (*sylvite_kernel_function)(void **args);

struct sylvite_kernel {
  const char *name;                                      /* "k3_matmul_gelu": unique, for reports */
  const char *root;                                      /* "matmul", "attention", ..., "none" */
  sylvite_kernel_function function[kSylviteIsaCount];    /* null for a level that is not in the artifact */
  int32_t symbols, inputs, outputs;
  int32_t grain0[kSylviteIsaCount], grain1[kSylviteIsaCount];  /* parts start at multiples of these */
  uint8_t has_scratch;                                   /* a scratch argument is passed */
};

/* One call of the plan. Buffers are numbered: [0, inputs) the model's inputs, then its outputs, then
 * intermediates, then weights. */
struct sylvite_call_site {
  int32_t kernel;                /* index into kernels */
  const char *sources;           /* ONNX node names, comma separated, for profiles */
  const int32_t *buffers;        /* inputs then outputs of the kernel: buffer numbers */
};

struct sylvite_tensor_info {
  const char *name;
  int32_t dtype;
  int32_t rank;
  const char *const *dims;  /* rank strings: "batch", "3", "length + 1" */
};

struct sylvite_symbol_info {
  const char *name;
  int64_t lower, upper;     /* upper: INT64_MAX when unbounded */
};

/* An intermediate. Reshapes share a number in the plan, so no buffer is an alias of another one. */
struct sylvite_buffer_info {
  int32_t first, last;      /* first and last call that use it: its lifetime */
};

struct sylvite_context;

/* Errors are values: a code and one line. */
enum sylvite_status { SYL_OK = 0, SYL_BAD_INPUT = 1, SYL_OUT_OF_MEMORY = 2, SYL_INTERNAL = 70 };
struct sylvite_error { int32_t status; char message[1024]; };

/* What the plan may call. A table, so that a plan needs no symbols from its host. */
struct sylvite_runtime_api {
  /* Calls the kernel of `site` over extent0 x extent1, split over threads by cost; small calls run in line. An
   * extent of 0 means nothing to do. `symbols`: the kernel's symbols' values. scratch_bytes: per part, 0 for
   * none. cost: the whole call's time on one core in units of about 10 ps: flops + 8 * bytes. */
  int32_t (*call)(struct sylvite_context *, int32_t site, const int32_t *symbols, int64_t extent0,
                  int64_t extent1, int64_t scratch_bytes, int64_t cost);
  /* Checks that buffer's integers number first, first + step, ... below `count` lie in [-bound, bound).
   * `message` holds "{}" twice: the runtime puts in the first bad index, then its position (coordinates such
   * as "[0, 5]" where it knows the shape, else the flat number): "input_ids: index {} at {} is out of range
   * for 'embeddings.word_embeddings.weight' (30522 rows)". */
  int32_t (*check_indices)(struct sylvite_context *, int32_t buffer, int32_t dtype, int64_t first,
                           int64_t step, int64_t count, int64_t bound, const char *message);
  int32_t (*copy)(struct sylvite_context *, int32_t to, int32_t from, int64_t bytes);
  /* Records an error; returns its status (never 0). */
  int32_t (*fail)(struct sylvite_context *, int32_t status, const char *message);
  /* The same, with a and b in place of the first and second "{}" of the message, as decimal numbers; a
   * message with fewer leaves them out. */
  int32_t (*fail_sizes)(struct sylvite_context *, int32_t status, const char *message, int64_t a, int64_t b);
  /* Copies the first `bytes` of buffer `from` into buffer `to`, from byte `offset` on. */
  int32_t (*copy_part)(struct sylvite_context *, int32_t to, int64_t offset, int32_t from, int64_t bytes);
  /* Whether the one bool in the buffer is true (1) or not (0). */
  int32_t (*is_true)(struct sylvite_context *, int32_t buffer);
  /* The size of an output's axis where it depends on what was computed; prepare gave the largest it may have. */
  int32_t (*set_size)(struct sylvite_context *, int32_t output, int32_t axis, int64_t size);
};

/* Image classification, when the program was compiled with --task=classify. */
enum sylvite_resample { SYL_NEAREST = 0, SYL_LANCZOS = 1, SYL_BILINEAR = 2, SYL_BICUBIC = 3, SYL_BOX = 4, SYL_HAMMING = 5 };
struct sylvite_classify_task {
  int32_t label_count;
  const char *const *labels;
  int32_t do_resize, height, width;     /* target of the resize; with shortest_edge > 0: that edge, ratio kept */
  int32_t shortest_edge;
  int32_t resample;                     /* Pillow's numbers: enum sylvite_resample */
  int32_t do_center_crop, crop_height, crop_width;
  float rescale;                        /* 1/255, or 1 for none */
  int32_t channels;                     /* 3, or 1 for grey */
  float mean[4], std[4];                /* 0 and 1 for no normalisation */
  int32_t input, output;                /* which input takes the pixels [N, C, H, W], which output has the logits */
};

/* Text translation, when the artifact was compiled as a translator. Two entry points share the weights: `encode`
 * (the root descriptor) runs once for a set of sources; `step` (entries[0]) gives the scores of the next token.
 *
 * What step knows of the sources comes from encode by `links`: one of its outputs, or of its inputs (a padding
 * mask), unchanged. Such a tensor has a row for each source. Where step has the input `rows` (i32 [batch]), it
 * picks for each of its own rows the source by this index, so that several rows (beams) share a source and
 * finished sentences leave the batch without a copy. Without it (rows is -1) row i of the batch is row i of
 * every linked tensor, which the runtime gathers so; heads may share the axis with the batch.
 *
 * Caches: with `past` >= 0 step takes one token a row, tokens [batch, 1], and keeps what it computed for the
 * earlier ones in pools of blocks of kSylviteCacheBlock positions: each cache input is [blocks, heads, 16, size],
 * read and appended to in place. `table` (i32 [batch, past / 16 + 1]) says which block holds positions 16 i ...
 * 16 i + 15 of a row; a block that two rows share is only read, so whoever lets rows diverge gives each a copy
 * of its last, unfinished block first. `past` is an input whose first dimension is the number of tokens before
 * this one; its data is never read. Without caches (past is -1) step takes all tokens so far: [batch, length]. */
enum { kSylviteCacheBlock = 16 };
enum sylvite_score_kind { SYL_LOGITS, SYL_PROBABILITIES, SYL_LOG_PROBABILITIES };
enum sylvite_tokenizer_kind { SYL_SENTENCEPIECE, SYL_WORDS };
struct sylvite_link {
  int32_t output;                       /* of encode; or -1 - i for its input i */
  int32_t input;                        /* of step */
};
/* A tokenizer's data stands in the weight image, as runtime/tokens/tokenizer_data.h lays it out: tables over the
 * words, added tokens, and for SYL_SENTENCEPIECE the lite form of a SentencePiece model. SYL_WORDS: words are told
 * apart by white space.
 * words: the vocabulary, `size` zero-terminated UTF-8 texts one after the other, by id (ids that no word has:
 * empty texts); words_bytes is 0 where the tokenizer's own ids are the model's. */
struct sylvite_tokenizer {
  int32_t kind;
  int32_t size;
  int64_t data, data_bytes;             /* in the weight image */
  int64_t words, words_bytes;           /* in the weight image; words_bytes 0: none */
  int32_t unknown;                      /* id for what the vocabulary lacks; -1: none */
};
struct sylvite_translate_task {
  struct sylvite_tokenizer source, target;
  int32_t source_prefix, source_suffix; /* ids put before and after a source's tokens; -1: none */
  int32_t start, end, pad;              /* target's first token; the one that ends it (-1: none); padding */
  int32_t forced_end;                   /* the token at max_length, -1: none */
  int32_t forced_start;                 /* the first token after start, -1: none */
  int32_t banned_count;                 /* single tokens that are never generated */
  const int32_t *banned;
  int32_t beams, max_length;            /* defaults; max_length: generated tokens, start not counted */
  float length_penalty;                 /* score = sum of log probabilities / length ^ penalty */
  int32_t early_stopping;               /* transformers' 0: false, 1: true, 2: "never" */
  int32_t max_source, max_target;       /* positions that the model has; 0: no limit known */
  int32_t fixed_source, fixed_target;   /* lengths that tokens are padded to; 0: none */
  int32_t source_tokens, source_mask;   /* encode's inputs; mask: 1 for tokens, 0 for padding; -1: none */
  int32_t step_tokens, step_mask;       /* step's inputs; mask over the target's tokens so far, -1: none */
  int32_t rows, past, table;            /* step's inputs, or -1 */
  int32_t position;                     /* with fixed_target: step's input i32 [1], which token's scores to give */
  int32_t link_count;
  const struct sylvite_link *links;
  int32_t cache_count;
  const int32_t *caches;                /* step's inputs that are pools */
  int32_t scores;                       /* step's output: [batch, vocabulary], f32, of the last token */
  int32_t score_kind;                   /* enum sylvite_score_kind */
};

/* Stored inputs and expected outputs (not made by the kernels): offsets into the weight image. */
struct sylvite_self_test {
  int32_t tensors;                      /* inputs then outputs of the model */
  const int64_t *offsets;
  const int64_t *const *shapes;
  float rtol, atol;
};

struct sylvite_program {
  int32_t abi_version;
  const char *model_name, *model_hash, *compiler_version, *licences;
  int32_t isa_mask;                     /* bit i: level i is in the artifact */

  int32_t input_count, output_count, symbol_count;
  const struct sylvite_tensor_info *inputs, *outputs;
  const struct sylvite_symbol_info *symbols;
  /* Inputs (numbers, ascending) whose elements are used as sizes: how often a loop runs. Their shapes are fixed. */
  int32_t content_count;
  const int32_t *contents;

  int32_t kernel_count, call_count, buffer_count, intermediate_count, weight_count;
  const struct sylvite_kernel *kernels;
  const struct sylvite_call_site *calls;
  const struct sylvite_buffer_info *intermediates;
  const int64_t *weight_offsets;        /* into the weight image, 64-byte aligned */
  int64_t weight_bytes;                 /* size of the image */
  uint64_t weight_hash;                 /* what the image's header says as content_hash */
  const void *weights;                  /* the image, in a library; null: the program's own last segment, or */
  int32_t separate_weights;             /* 1: a file of its own beside the program */

  /* dims: every dimension of every input, in order, then every element of `contents`. Writes the symbols, the bytes of each intermediate, and
   * every dimension of every output. Checks the symbols' ranges, the guards, and that no tensor has 2^31
   * elements or more. */
  int32_t (*prepare)(struct sylvite_context *, const struct sylvite_runtime_api *, const int64_t *dims,
                     int64_t *symbols, int64_t *intermediate_bytes, int64_t *output_dims);
  /* Makes the calls in order. */
  int32_t (*run)(struct sylvite_context *, const struct sylvite_runtime_api *, const int64_t *symbols);
  /* Floating-point operations and bytes read and written of each call, for profiles. */
  void (*costs)(const int64_t *symbols, int64_t *flops, int64_t *bytes);

  const struct sylvite_classify_task *classify;   /* or null */
  const struct sylvite_translate_task *translate; /* or null */
  const struct sylvite_self_test *self_test;      /* or null */

  /* Further entry points over the same weight image; only the root descriptor has them. */
  int32_t entry_count;
  const struct sylvite_program *const *entries;
};

/* Defined by the plan object of every program; a library's has its prefix instead: PREFIX_program. */
extern const struct sylvite_program sylvite_program_descriptor;

/* The weight image. In a library it is a section of its own, which the descriptor names. In a standalone program
 * it is the last loadable segment (PT_LOAD, read only, highest address) of the file; the runtime finds it through
 * getauxval(AT_PHDR) and looks for the magic at its p_vaddr (the program is not relocated). It starts with this
 * header, padded to 64 bytes; offsets count from the header's start. A program with separate weights maps them from
 * a file that holds the image and nothing else (runtime/program/weights_file.h). */
struct sylvite_weight_header {
  char magic[16];         /* "sylvite weights" */
  uint64_t bytes;         /* with the header */
  uint64_t content_hash;  /* of all that follows: whether program and weights belong together */
};

/* Library kernels: in the runtime, named by the compiler, in argv form without scratch. All that their node
 * says comes as symbols; "constant" below marks values that are the same in every run.
 *
 * top_k: one input (data), two outputs (values, i64 indices). Data is seen as [outer, size, inner] around the
 *   axis, the outputs as [outer, k, inner]. Split axis 0: outer * inner rows (extent0; extent1 is 1).
 *   symbols: dtype (constant), size, inner, k, largest (constant), sorted (constant)
 *   Equal values stand in order of their index; NaN counts as greater than every number. k <= size is the
 *   plan's to guard. The result is sorted whether asked for or not.
 * scatter_nd: three inputs (data, indices, updates), one output. extents 1 x 1 (serial: later updates win).
 *   symbols: dtype, index dtype, reduction, depth (constants), tuples, slice, d_0, ..., d_{depth-1}
 *   depth: indices.shape[-1]; tuples: product of indices.shape[:-1]; d_i: data.shape[i] for i < depth;
 *   slice: product of data.shape[depth:].
 * scatter_elements: three inputs (data, indices, updates), one output. extents 1 x 1.
 *   symbols: dtype, index dtype, reduction, axis, rank (constants), data.shape (rank values),
 *   indices.shape (rank values)
 * Index dtype: SYL_I32 or SYL_I64; negative indices count from the end. Reductions on bool: add and max are
 * or, mul and min are and; min and max of floats skip a NaN (fmin, fmax). f16 and bf16 are reduced in f32 and rounded. */
/* append: three inputs (pool [blocks, heads, 16, size], table i32 [batch, columns], rows [batch, heads, length,
 *   size]), one output: the pool itself, written in place. Row t of batch b goes to block table[b, (past + t) / 16],
 *   position (past + t) % 16. extents 1 x 1.
 *   symbols: dtype (constant), blocks, heads, size, batch, columns, length, past
 */
enum sylvite_reduction { SYL_REDUCE_NONE, SYL_REDUCE_ADD, SYL_REDUCE_MUL, SYL_REDUCE_MIN, SYL_REDUCE_MAX };
int32_t sylvite_library_top_k(void **args);
int32_t sylvite_library_scatter_nd(void **args);
int32_t sylvite_library_scatter_elements(void **args);
int32_t sylvite_library_append(void **args);

#ifdef __cplusplus
}
#endif
#endif
