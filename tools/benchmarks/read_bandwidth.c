// Prints how many bytes a second this machine reads: read_bandwidth BYTES THREADS.
//
// A buffer of that size, so that what a cache holds of it counts; large pages; the best of several
// rounds, because others share the machine. Four sums, or the additions would be waited for.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { kRounds = 20, kMostThreads = 256, kPage = 2 << 20 };

typedef uint64_t Lanes __attribute__((vector_size(64)));

static const Lanes *g_data;
static size_t g_lanes;  // of a thread, a multiple of four
static pthread_barrier_t g_barrier;
static volatile uint64_t g_sum;

static void read_part(size_t part) {
  const Lanes *data = g_data + part * g_lanes;
  Lanes sums[4] = {{0}};
  for (size_t i = 0; i < g_lanes; i += 4) {
    for (int k = 0; k < 4; ++k) {
      sums[k] += data[i + k];
    }
  }
  sums[0] += sums[1] + sums[2] + sums[3];
  g_sum = sums[0][0] + sums[0][7];
}

static void *run(void *part) {
  for (int round = 0; round < kRounds; ++round) {
    pthread_barrier_wait(&g_barrier);
    read_part((size_t)part);
    pthread_barrier_wait(&g_barrier);
  }
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **words) {
  const size_t bytes = count == 3 ? strtoull(words[1], NULL, 10) : 0;
  const size_t threads = count == 3 ? strtoull(words[2], NULL, 10) : 0;
  g_lanes = threads > 0 ? bytes / threads / sizeof(Lanes) / 4 * 4 : 0;
  void *buffer = NULL;
  if (g_lanes == 0 || threads > kMostThreads || posix_memalign(&buffer, kPage, bytes) != 0) {
    fprintf(stderr, "usage: read_bandwidth BYTES THREADS\n");
    return 2;
  }
  madvise(buffer, bytes, MADV_HUGEPAGE);
  memset(buffer, 1, bytes);
  g_data = buffer;
  pthread_barrier_init(&g_barrier, NULL, (unsigned)threads);
  pthread_t others[kMostThreads];
  for (size_t part = 1; part < threads; ++part) {
    if (pthread_create(&others[part], NULL, run, (void *)part) != 0) {
      fprintf(stderr, "read_bandwidth: no more than %zu threads\n", part);
      return 1;
    }
  }
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    pthread_barrier_wait(&g_barrier);
    const double begin = now();
    read_part(0);
    pthread_barrier_wait(&g_barrier);
    const double seconds = now() - begin;
    best = seconds < best ? seconds : best;
  }
  for (size_t part = 1; part < threads; ++part) {
    pthread_join(others[part], NULL);
  }
  printf("%.0f\n", (double)(g_lanes * threads * sizeof(Lanes)) / best);
  return 0;
}
