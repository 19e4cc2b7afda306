// Checks the emulator by itself, against what these kernels give on a GPU. emulate.sh runs it in several orders.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

typedef uint64_t Ptr;
extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuMemAlloc_v2(Ptr *, size_t);
int cuMemFree_v2(Ptr);
int cuMemcpyHtoD_v2(Ptr, const void *, size_t);
int cuMemcpyDtoH_v2(void *, Ptr, size_t);
int cuModuleLoadData(void **, const char *);
int cuModuleGetFunction(void **, void *, const char *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuStreamCreate(void **, unsigned);
int cuEventCreate(void **, unsigned);
int cuEventRecord(void *, void *);
int cuStreamWaitEvent(void *, void *, unsigned);
int cuStreamSynchronize(void *);
int nvrtcCreateProgram(void **, const char *, const char *, int, const char *const *, const char *const *);
int nvrtcCompileProgram(void *, int, const char *const *);
int nvrtcGetPTXSize(void *, size_t *);
int nvrtcGetPTX(void *, char *);
int cublasCreate_v2(void **);
int cublasSgemm_v2(void *, int, int, int, int, int, const float *, Ptr, int, Ptr, int, const float *, Ptr, int);
int cublasSgemv_v2(void *, int, int, int, const float *, Ptr, int, Ptr, int, const float *, Ptr, int);
int cublasGemmStridedBatchedEx(void *, int, int, int, int, int, const float *, Ptr, int, int, long long, Ptr, int, int,
                               long long, const float *, Ptr, int, int, long long, int, int, int);
void emulator_counts(uint64_t *);
}

static int failures;
static void check(bool ok, const char *what) {
  if (!ok) failures++, printf("FAILED: %s\n", what);
}
static void must(int status, const char *what) {
  if (status) printf("%s gives %d\n", what, status), exit(1);
}
#define MUST(call) must(call, #call)

template <class T> struct Buffer {
  Ptr start;
  size_t count;
  explicit Buffer(const std::vector<T> &data) : count(data.size()) {
    MUST(cuMemAlloc_v2(&start, count * sizeof(T)));
    MUST(cuMemcpyHtoD_v2(start, data.data(), count * sizeof(T)));
  }
  std::vector<T> read() const {
    std::vector<T> data(count);
    MUST(cuMemcpyDtoH_v2(data.data(), start, count * sizeof(T)));
    return data;
  }
};

static int compile(const char *source, std::string &ptx) {
  void *program;
  MUST(nvrtcCreateProgram(&program, source, nullptr, 0, nullptr, nullptr));
  const char *options[] = {"--gpu-architecture=sm_90"};
  int status = nvrtcCompileProgram(program, 1, options);
  size_t size;
  nvrtcGetPTXSize(program, &size);
  ptx.resize(size);
  nvrtcGetPTX(program, ptx.data());
  return status;
}

extern const char KERNELS[];
static void *function(const char *name) {
  static void *module;
  if (std::string ptx; !module) {
    MUST(compile(KERNELS, ptx));
    MUST(cuModuleLoadData(&module, ptx.c_str()));
  }
  void *f;
  MUST(cuModuleGetFunction(&f, module, name));
  return f;
}

template <class... A> int launch(const char *name, unsigned grid, unsigned block, unsigned shared, void *stream, A... arguments) {
  void *all[] = {&arguments...};
  return cuLaunchKernel(function(name), grid, 1, 1, block, 1, 1, shared, stream, all, nullptr);
}

template <class T> std::vector<T> numbers(size_t n) {
  std::vector<T> data(n);
  for (size_t i = 0; i < n; i++) data[i] = T(std::sin(0.7 * i));
  return data;
}

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

static void products() {
  void *blas;
  MUST(cublasCreate_v2(&blas));
  bool right = true;
  for (int m : {1, 5, 97})
    for (int n : {1, 9, 33})
      for (int k : {1, 17, 600})
        for (int t = 0; t < 4; t++) {
          int ta = t & 1, tb = t >> 1, lda = (ta ? k : m) + 3, ldb = (tb ? n : k) + 1, ldc = m + 2;
          auto a = numbers<float>(lda * (ta ? m : k)), b = numbers<float>(ldb * (tb ? k : n)), c = numbers<float>(ldc * n);
          Buffer<float> da(a), db(b), dc(c);
          float alpha = 0.5, beta = 2;
          MUST(cublasSgemm_v2(blas, ta, tb, m, n, k, &alpha, da.start, lda, db.start, ldb, &beta, dc.start, ldc));
          auto found = dc.read();
          for (int j = 0; j < n; j++)
            for (int i = 0; i < ldc; i++) {
              double sum = 0;
              for (int p = 0; p < k && i < m; p++) sum += double(a[ta ? p + i * lda : i + p * lda]) * b[tb ? j + p * ldb : p + j * ldb];
              right &= std::abs(found[i + j * ldc] - (i < m ? alpha * sum + beta * c[i + j * ldc] : c[i + j * ldc])) < 1e-3;
            }
        }
  check(right, "products, transposed or not, of rows with gaps");
  float one = 1, zero = 0;
  Buffer<float> a({1, 2, 3, 4, 5, 6}), x({1, 9, 1, 9, 1, 9}), y({NAN, 7, NAN});
  MUST(cublasSgemv_v2(blas, 0, 2, 3, &one, a.start, 2, x.start, 2, &zero, y.start, 2));
  check(y.read() == std::vector<float>{9, 7, 12}, "a matrix times a vector, into what was NaN");
  check(cublasSgemm_v2(blas, 0, 0, 3, 3, 3, &one, a.start, 3, a.start, 3, &one, a.start, 3) == 7, "a product lies in its blocks");
  // [1 2; 1 2]ᵀ times each of two columns of halves.
  Buffer<uint16_t> left({0x3c00, 0x4000}), right_halves({0x3c00, 0x3c00, 0x4000, 0x4000});
  Buffer<float> out(std::vector<float>(2));
  MUST(cublasGemmStridedBatchedEx(blas, 1, 0, 1, 1, 2, &one, left.start, 2, 2, 0, right_halves.start, 2, 2, 2, &zero, out.start, 0,
                                  1, 1, 2, 68, -1));
  check(out.read() == std::vector<float>{3, 6}, "a batch of products of halves");
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
