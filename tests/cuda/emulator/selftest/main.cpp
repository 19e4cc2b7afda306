// Checks the emulator by itself, against what these kernels give on a GPU. emulate.sh runs it in several orders.
#include "selftest.h"
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

// Whether a program that does this ends by a fault.
template <class F> bool faults(F run) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    if (!freopen("/dev/null", "w", stderr)) _exit(0);
    run();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return status != 0;
}

static void threads() {
  auto data = numbers<float>(1000);
  double sum = 0, squares = 0;
  for (float x : data) sum += x, squares += x * x;
  Buffer<float> in(data), out({0, 0, 0, 0});
  MUST(launch("sums", 8, 128, 0, nullptr, in.start, out.start, data.size()));
  check(std::abs(out.read()[0] - sum) < 1e-3, "sums of blocks in shared memory, added up by atomics");
  MUST(launch("warps", 1, 250, 8 * sizeof(float), nullptr, in.start, out.start));
  check(std::abs(out.read()[1] - squares) < 1e-3, "sums by shuffles in a block with half a warp, of float4");
  Buffer<unsigned> lanes(std::vector<unsigned>(4));
  MUST(launch("lanes", 1, 48, 0, nullptr, lanes.start));
  check(lanes.read() == std::vector<unsigned>{0x55555555, 0x5555, 0xff, 36}, "votes, and exchange between some lanes");
  Buffer<int> left(std::vector<int>(63));
  MUST(launch("leaving", 1, 64, 0, nullptr, left.start));
  auto seen = left.read();
  check(seen[0] == 1 && seen[31] == 32 && seen[61] == 62, "barriers that some threads have left");
  Buffer<uint16_t> halves({0x3c00, 0x3800, 0, 0});  // 1, 0.5
  MUST(launch("halves", 1, 1, 0, nullptr, halves.start));
  // exp(0.5) + 1 is 2.6487, and 0x414c is 2.6484; 1 + 0.5 · 0.5 is 0x3d00.
  check(halves.read()[2] == 0x414c && halves.read()[3] == 0x3d00, "half precision");
  Buffer<int> last({-1, -1});
  MUST(launch("race", 4, 64, 0, nullptr, last.start));
  const char *order = getenv("EMULATOR_ORDER");
  int found = last.read()[0];
  check(!order ? found == 255 : strcmp(order, "reverse") ? found != 255 : found == 0, "a race depends on the order");
  int other = last.read()[1];
  check(!order ? other == 0 : strcmp(order, "reverse") || other == -1, "so does what lacks a barrier");
}

static void errors() {
  Buffer<float> in(numbers<float>(8)), out(std::vector<float>(2));
  MUST(launch("fresh", 1, 1, 0, nullptr, in.start, out.start));
  check(std::isnan(out.read()[0]), "fresh shared memory is NaN");
  Buffer<float> gone({1});
  MUST(cuMemFree_v2(gone.start));
  check(launch("fresh", 1, 1, 0, nullptr, gone.start, out.start) == 700, "memory that was freed is no argument");
  check(launch("fresh", 1, 1025, 0, nullptr, in.start, out.start) == 1, "a block has 1,024 threads");
  check(launch("fresh", 1, 1, 49 << 10, nullptr, in.start, out.start) == 1, "a block has 48 KiB of shared memory");
  Ptr fresh;
  float read;
  MUST(cuMemAlloc_v2(&fresh, 4));
  MUST(cuMemcpyDtoH_v2(&read, fresh, 4));
  check(std::isnan(read), "fresh memory is NaN");
  check(cuMemcpyDtoH_v2(&read, fresh + 1, 4) == 1, "a copy lies in its block");
  check(faults([&] {
    launch("race", 1, 1, 0, nullptr, out.start + 8);
    cuStreamSynchronize(nullptr);
    cuMemFree_v2(out.start);
  }), "a write behind a block is found");
  check(faults([&] {
    launch("apart", 1, 64, 0, nullptr);
    cuStreamSynchronize(nullptr);
  }), "threads cannot wait for each other at different barriers");
  std::string ptx;
  check(compile("extern \"C\" __global__ void f(float *x) { *x = INFINITY; }", ptx), "NVRTC has no INFINITY");
  check(compile("extern \"C\" __global__ void f(float *x) { *y = 1; }", ptx), "NVRTC refuses what is not C++");

  void *context[2];
  for (int i = 0; i < 2; i++) MUST(cuDevicePrimaryCtxRetain(&context[i], i));
  MUST(cuCtxSetCurrent(context[1]));
  check(launch("fresh", 1, 1, 0, nullptr, in.start, out.start) == 400, "a kernel belongs to a device");
  Buffer<float> there({1});
  MUST(cuCtxSetCurrent(context[0]));
  check(launch("fresh", 1, 1, 0, nullptr, there.start, out.start) == 700, "memory belongs to a device");
}

static void streams() {
  void *stream, *event;
  MUST(cuStreamCreate(&stream, 1));
  MUST(cuEventCreate(&event, 0));
  Buffer<float> value({1, 1});
  MUST(launch("twice", 1, 1, 0, nullptr, value.start));
  MUST(cuEventRecord(event, nullptr));
  MUST(cuStreamWaitEvent(stream, event, 0));
  MUST(launch("plus_one", 1, 1, 0, stream, value.start));
  MUST(cuStreamSynchronize(stream));
  check(value.read()[0] == 3, "a stream waits for an event");
  MUST(launch("twice", 1, 1, 0, nullptr, value.start + 4));
  MUST(launch("plus_one", 1, 1, 0, stream, value.start + 4));
  MUST(cuStreamSynchronize(stream));
  const char *late = getenv("EMULATOR_STREAMS");
  check(value.read()[1] == (late && !strcmp(late, "default-late") ? 4 : 3), "without one it need not");
}

int main() {
  void *context;
  MUST(cuInit(0));
  MUST(cuDevicePrimaryCtxRetain(&context, 0));
  MUST(cuCtxSetCurrent(context));
  uint64_t before[16], after[16];
  emulator_counts(before);
  Buffer<float> counted({1, 2});
  MUST(launch("twice", 1, 1, 0, nullptr, counted.start));
  emulator_counts(after);
  check(after[0] - before[0] == 1 && after[2] - before[2] == 1 && after[7] - before[7] == 1, "counts");
  threads();
  errors();
  streams();
  products();
  if (!failures) printf("the emulator gives what a GPU does\n");
  return failures != 0;
}
