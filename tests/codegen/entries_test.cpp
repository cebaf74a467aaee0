// An artifact of several entry points: one image, one descriptor each.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/codegen/sample_plan.h"

namespace sylvite {
namespace {

std::vector<std::byte> bytes_of(const std::string &text) {
  const std::byte *first = reinterpret_cast<const std::byte *>(text.data());
  return {first, first + text.size()};
}

ProgramInfo translator_info() {
  ProgramInfo info = sample_info();
  TranslateTask task;
  task.source.data = bytes_of("a model of pieces");
  task.source.words = {"</s>", "", "cat"};
  task.source.settings.kind = SYL_SENTENCEPIECE;
  task.source.settings.unknown = 1;
  task.target = task.source;
  task.banned = {7, 9};
  task.links = {{0, 3}, {-1, 2}};
  task.caches = {4, 5};
  task.settings.beams = 6;
  task.settings.length_penalty = 0.5f;
  task.settings.score_kind = SYL_LOG_PROBABILITIES;
  info.translate = task;
  return info;
}

// A second plan over the same table and one of its own.
Plan other_plan() {
  Plan plan = sample_plan();
  plan.name = "other";
  const Tensor own = Tensor::of<float>(DType::F32, {2}, {1.5f, 2.5f});
  plan.weights.push_back(std::make_shared<const Tensor>(own));
  plan.weight_names.push_back("own");
  return plan;
}

struct Entries : testing::Test {
  Entries() {
    const EntryPoint entries[] = {{&root, &info}, {&other, &other_info}};
    image = make_weight_image(entries);
    std::vector<std::vector<char>> objects = compile_objects(entries, image, {});
    loaded = std::make_unique<LoadedProgram>(with_sample_kernels(std::move(objects)), image);
  }
  const char *at(int64_t offset) const {
    return static_cast<const char *>(loaded->weights()) + offset;
  }

  Plan root = sample_plan(), other = other_plan();
  ProgramInfo info = translator_info(), other_info = sample_info();
  WeightImage image;
  std::unique_ptr<LoadedProgram> loaded;
};

TEST_F(Entries, TheRootNamesTheOthers) {
  const sylvite_program &program = *loaded->program();
  ASSERT_EQ(program.entry_count, 1);
  const sylvite_program &entry = *program.entries[0];
  EXPECT_EQ(entry.abi_version, kSylviteAbiVersion);
  EXPECT_EQ(entry.entry_count, 0);
  EXPECT_EQ(entry.entries, nullptr);
  EXPECT_EQ(entry.translate, nullptr);
  EXPECT_EQ(entry.weight_bytes, program.weight_bytes);
  EXPECT_EQ(entry.weight_hash, program.weight_hash);
  EXPECT_EQ(entry.weight_count, 2);
}

TEST_F(Entries, EqualWeightsStandInTheImageOnce) {
  const sylvite_program &program = *loaded->program();
  const sylvite_program &entry = *program.entries[0];
  EXPECT_EQ(program.weight_offsets[0], entry.weight_offsets[0]);
  EXPECT_NE(entry.weight_offsets[0], entry.weight_offsets[1]);
  float own[2];
  std::memcpy(own, at(entry.weight_offsets[1]), sizeof own);
  EXPECT_EQ(own[1], 2.5f);
}

TEST_F(Entries, TheTaskIsInTheRoot) {
  ASSERT_NE(loaded->program()->translate, nullptr);
  const sylvite_translate_task &task = *loaded->program()->translate;
  EXPECT_EQ(std::string(at(task.source.data), static_cast<size_t>(task.source.data_bytes)),
            "a model of pieces");
  EXPECT_EQ(std::string(at(task.source.words), static_cast<size_t>(task.source.words_bytes)),
            std::string("</s>\0\0cat\0", 10));
  EXPECT_EQ(task.source.size, 3);
  EXPECT_EQ(task.source.unknown, 1);
  EXPECT_EQ(task.target.data, task.source.data);  // equal data once, too
  ASSERT_EQ(task.banned_count, 2);
  EXPECT_EQ(task.banned[1], 9);
  ASSERT_EQ(task.link_count, 2);
  EXPECT_EQ(task.links[1].output, -1);
  EXPECT_EQ(task.links[1].input, 2);
  ASSERT_EQ(task.cache_count, 2);
  EXPECT_EQ(task.caches[0], 4);
  EXPECT_EQ(task.beams, 6);
  EXPECT_EQ(task.length_penalty, 0.5f);
  EXPECT_EQ(task.score_kind, SYL_LOG_PROBABILITIES);
}

}  // namespace
}  // namespace sylvite
