// What the parts of the selftest share: the calls of the driver, and short ways to make them.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
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

inline int failures;
inline void check(bool ok, const char *what) {
  if (!ok) failures++, printf("FAILED: %s\n", what);
}
inline void must(int status, const char *what) {
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

inline int compile(const char *source, std::string &ptx) {
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
inline void *function(const char *name) {
  static void *module;
  if (std::string ptx; !module) {
    MUST(compile(KERNELS, ptx));
    MUST(cuModuleLoadData(&module, ptx.c_str()));
  }
  void *f;
  MUST(cuModuleGetFunction(&f, module, name));
  return f;
}

template <class... A>
int launch(const char *name, unsigned grid, unsigned block, unsigned shared, void *stream, A... arguments) {
  void *all[] = {&arguments...};
  return cuLaunchKernel(function(name), grid, 1, 1, block, 1, 1, shared, stream, all, nullptr);
}

template <class T> std::vector<T> numbers(size_t n) {
  std::vector<T> data(n);
  for (size_t i = 0; i < n; i++) data[i] = T(std::sin(0.7 * i));
  return data;
}

void products();
