/* A driver and a cuBLAS without a GPU, for dry-run.sh: the memory is the host's, kernels are loaded but not run, and a
 * matrix product only looks at its arguments. FAKE_GPUS and FAKE_MIB say how many GPUs there are and how large their
 * memory is; the PTX of each module goes to the folder FAKE_PTX. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, NOT_FOUND = 500 };
typedef uint64_t Ptr;
typedef void *Handle;

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

/* Memory. */

static struct { Ptr start; size_t size; } blocks[1 << 16];
static int count;
static size_t used, most;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int allocate(Ptr *out, size_t size) {
  int status = OUT_OF_MEMORY;
  pthread_mutex_lock(&lock);
  if (used + size <= (size_t)setting("FAKE_MIB", 8192) << 20 && count < 1 << 16) {
    *out = (Ptr)calloc(1, size + 1);
    blocks[count].start = *out;
    blocks[count++].size = size;
    used += size;
    most = used > most ? used : most;
    status = OK;
  }
  pthread_mutex_unlock(&lock);
  return status;
}

static int release(Ptr start) {
  int status = INVALID;
  pthread_mutex_lock(&lock);
  for (int i = count - 1; i >= 0 && status; i--) {
    if (blocks[i].start != start) continue;
    used -= blocks[i].size;
    blocks[i] = blocks[--count];
    free((void *)start);
    status = OK;
  }
  pthread_mutex_unlock(&lock);
  return status;
}

/* How many bytes there are from here to the end of a block. */
static size_t room(const void *here) {
  size_t found = 0;
  pthread_mutex_lock(&lock);
  for (int i = count - 1; i >= 0 && !found; i--) {
    size_t offset = (Ptr)here - blocks[i].start;
    if ((Ptr)here >= blocks[i].start && offset < blocks[i].size) found = blocks[i].size - offset;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

static int copy(void *to, const void *from, size_t size) {
  memcpy(to, from, size);
  return OK;
}

static int set(Ptr start, unsigned char value, size_t size) {
  if (room((void *)start) < size) return INVALID;
  /* Fresh blocks are zero already, and kernels do not read them: large ones stay untouched. */
  if (value || size < 1 << 20) memset((void *)start, value, size);
  return OK;
}

int cuMemAlloc_v2(Ptr *out, size_t size) { return allocate(out, size); }
int cuMemAllocAsync(Ptr *out, size_t size, Handle s) { return allocate(out, size); }
int cuMemFree_v2(Ptr start) { return release(start); }
int cuMemFreeAsync(Ptr start, Handle s) { return release(start); }
int cuMemcpyHtoD_v2(Ptr to, void *from, size_t n) { return room((void *)to) < n ? INVALID : copy((void *)to, from, n); }
int cuMemcpyDtoH_v2(void *to, Ptr from, size_t n) { return room((void *)from) < n ? INVALID : copy(to, (void *)from, n); }
int cuMemcpyDtoD_v2(Ptr to, Ptr from, size_t n) { return copy((void *)to, (void *)from, n); }
int cuMemcpyHtoDAsync_v2(Ptr to, void *from, size_t n, Handle s) { return cuMemcpyHtoD_v2(to, from, n); }
int cuMemcpyDtoHAsync_v2(void *to, Ptr from, size_t n, Handle s) { return cuMemcpyDtoH_v2(to, from, n); }
int cuMemcpyDtoDAsync_v2(Ptr to, Ptr from, size_t n, Handle s) { return cuMemcpyDtoD_v2(to, from, n); }
int cuMemsetD8_v2(Ptr start, unsigned char value, size_t n) { return set(start, value, n); }
int cuMemsetD8Async(Ptr start, unsigned char value, size_t n, Handle s) { return set(start, value, n); }

/* Devices, contexts, streams, events: there is nothing to do. */

int cuInit(unsigned flags) { return OK; }
int cuDriverGetVersion(int *out) { *out = 13000; return OK; }
int cuDeviceGetCount(int *out) { *out = setting("FAKE_GPUS", 1); return OK; }
int cuDeviceGet(int *out, int ordinal) { *out = ordinal; return ordinal < setting("FAKE_GPUS", 1) ? OK : INVALID_DEVICE; }
int cuDeviceGetAttribute(int *out, int attribute, int device) { *out = 1; return OK; }
int cuDevicePrimaryCtxRetain(Handle *out, int device) { *out = (Handle)1; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { return OK; }
int cuCtxSetCurrent(Handle context) { return OK; }
int cuEventCreate(Handle *out, unsigned flags) { *out = (Handle)1; return OK; }
int cuEventDestroy_v2(Handle event) { return OK; }
int cuEventRecord(Handle event, Handle s) { return OK; }
int cuStreamCreate(Handle *out, unsigned flags) { *out = (Handle)2; return OK; }
int cuStreamDestroy_v2(Handle s) { return OK; }
int cuStreamSynchronize(Handle s) { return OK; }
int cuStreamWaitEvent(Handle s, Handle event, unsigned flags) { return OK; }
int cuGetExportTable(const void **out, const void *id) { return NOT_FOUND; }
int cuGetErrorString(int error, const char **out) { *out = error == OUT_OF_MEMORY ? "out of memory" : "fake"; return OK; }

/* Modules and kernels. */

static int modules, launches;

int cuModuleLoadData(Handle *out, const char *ptx) {
  /* One file for each text, however often it is loaded. */
  uint64_t hash = 14695981039346656037u;
  for (const char *c = ptx; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
  char path[4096];
  snprintf(path, sizeof path, "%s/%016lx.ptx", getenv("FAKE_PTX"), hash);
  modules++;
  FILE *file = fopen(path, "w");
  if (!file) return INVALID;
  fputs(ptx, file);
  fclose(file);
  *out = strdup(ptx);
  return OK;
}

int cuModuleUnload(Handle module) { return OK; }

int cuModuleGetFunction(Handle *out, const char *module, const char *name) {
  char entry[512];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  *out = (Handle)module;
  return strstr(module, entry) ? OK : NOT_FOUND;
}

int cuLaunchKernel(Handle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   Handle s, void **parameters, void **extra) {
  launches++;
  return gx && gy && gz && bx && by && bz && bx <= 1024 ? OK : INVALID;
}

__attribute__((destructor)) static void report(void) {
  if (modules) fprintf(stderr, "fake GPU: %d modules, %d launches, at most %zu MiB\n", modules, launches, most >> 20);
}

/* cuBLAS: 7 is CUBLAS_STATUS_INVALID_VALUE. */

int cublasCreate_v2(Handle *out) { *out = (Handle)3; return OK; }
int cublasDestroy_v2(Handle h) { return OK; }
int cublasSetStream_v2(Handle h, Handle s) { return OK; }

/* A matrix of rows × columns, column by column, and the last of `batch` of them, have to lie in one block. */
static int fits(const void *start, long rows, long columns, long ld, long stride, long batch, long width) {
  if (rows < 1 || columns < 1 || ld < rows || batch < 1) return 0;
  return room(start) >= (size_t)((batch - 1) * stride + (columns - 1) * ld + rows) * width;
}

static int product(int ta, int tb, long m, long n, long k, const void *a, long lda, long sa, const void *b, long ldb,
                   long sb, void *c, long ldc, long sc, long batch, long width) {
  int ok = fits(a, ta ? k : m, ta ? m : k, lda, sa, batch, width) && fits(b, tb ? n : k, tb ? k : n, ldb, sb, batch, width) &&
           fits(c, m, n, ldc, sc, batch, width);
  if (!ok) fprintf(stderr, "fake cuBLAS: %d %d, %ldx%ldx%ld, ld %ld %ld %ld, batch %ld\n", ta, tb, m, n, k, lda, ldb, ldc, batch);
  return ok ? OK : 7;
}

#define PLAIN(name, width)                                                                                             \
  int name(Handle h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,     \
           int ldb, const void *beta, void *c, int ldc) {                                                              \
    return product(ta, tb, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, 1, width);                                        \
  }
#define BATCHED(name, width)                                                                                           \
  int name(Handle h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, long long sa,      \
           const void *b, int ldb, long long sb, const void *beta, void *c, int ldc, long long sc, int batch) {        \
    return product(ta, tb, m, n, k, a, lda, sa, b, ldb, sb, c, ldc, sc, batch, width);                                 \
  }
PLAIN(cublasHgemm, 2)
PLAIN(cublasSgemm_v2, 4)
PLAIN(cublasDgemm_v2, 8)
BATCHED(cublasHgemmStridedBatched, 2)
BATCHED(cublasSgemmStridedBatched, 4)
BATCHED(cublasDgemmStridedBatched, 8)

/* Of half precision only. */
int cublasGemmEx(Handle h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                 const void *b, int bt, int ldb, const void *beta, void *c, int ct, int ldc, int compute, int algorithm) {
  return product(ta, tb, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, 1, 2);
}
int cublasGemmStridedBatchedEx(Handle h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at,
                               int lda, long long sa, const void *b, int bt, int ldb, long long sb, const void *beta,
                               void *c, int ct, int ldc, long long sc, int batch, int compute, int algorithm) {
  return product(ta, tb, m, n, k, a, lda, sa, b, ldb, sb, c, ldc, sc, batch, 2);
}
