// cuBLAS: the products that cudarc 0.9 calls, column by column as there. f32 adds up in f32, f64 in f64, half precision in
// f32 with one rounding at the end. Arguments are checked as cuBLAS documents it, and that matrices lie in their blocks.
#include "emulator.h"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

using namespace emulator;

namespace {
enum { BLAS_NOT_INITIALIZED = 1, BLAS_INVALID_VALUE = 7, BLAS_NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_16F = 2, COMPUTE_32F = 68 };

struct Handle { Stream *stream; int device; };
// A stored matrix, and whether a product takes it transposed.
struct Matrix { Ptr start; long ld; bool transposed; long long stride; };

template <class T> using Lanes __attribute__((vector_size(64))) = T;

// ROWS × k numbers times k × COLUMNS.
template <class T> struct Tile {
  static constexpr int HALF = 64 / sizeof(T), ROWS = 2 * HALF, COLUMNS = 8;
  static void multiply(long k, const T *a, const T *b, T *out) {
    Lanes<T> sums[COLUMNS][2] = {};
    for (long p = 0; p < k; p++, a += ROWS, b += COLUMNS) {
      Lanes<T> low, high;
      memcpy(&low, a, sizeof low);
      memcpy(&high, a + HALF, sizeof high);
      for (int j = 0; j < COLUMNS; j++) {
        sums[j][0] += low * b[j];
        sums[j][1] += high * b[j];
      }
    }
    memcpy(out, sums, sizeof sums);
  }
};

// Panels of `width` rows of a matrix of `rows` × k, which `at` gives; zeros follow the last row.
template <class T, class At> std::vector<T> panels(long rows, long k, long width, At at) {
  std::vector<T> packed((rows + width - 1) / width * width * k);
  for (long row = 0; row < rows; row++) {
    T *to = packed.data() + row / width * width * k + row % width;
    for (long p = 0; p < k; p++) to[p * width] = T(at(row, p));
  }
  return packed;
}

template <class T, class In, class Out>
void product(long m, long n, long k, T alpha, Matrix a, Matrix b, T beta, Out *c, long ldc) {
  typedef Tile<T> Tile;
  const In *as = (const In *)a.start, *bs = (const In *)b.start;
  auto left = panels<T>(m, k, Tile::ROWS, [=](long i, long p) { return as[a.transposed ? p + i * a.ld : i + p * a.ld]; });
  auto right = panels<T>(n, k, Tile::COLUMNS, [=](long j, long p) { return bs[b.transposed ? j + p * b.ld : p + j * b.ld]; });
  T tile[Tile::ROWS * Tile::COLUMNS];
  for (long y = 0; y < n; y += Tile::COLUMNS)
    for (long x = 0; x < m; x += Tile::ROWS) {
      Tile::multiply(k, left.data() + x * k, right.data() + y * k, tile);
      for (long j = y; j < std::min(y + Tile::COLUMNS, n); j++)
        for (long i = x; i < std::min(x + Tile::ROWS, m); i++) {
          Out &out = c[i + j * ldc];
          T sum = alpha * tile[(j - y) * Tile::ROWS + i - x];
          // With beta 0 what was there is not read: it may be NaN.
          out = Out(beta == 0 ? sum : sum + beta * T(out));
        }
    }
}

// Whether `batch` matrices of rows × columns lie in one block.
bool lies(Matrix matrix, long rows, long columns, long batch, size_t width) {
  if (!rows || !columns || !batch) return true;
  size_t needed = ((batch - 1) * matrix.stride + (columns - 1) * matrix.ld + rows) * width;
  return room(matrix.start) >= needed && valid(matrix.start, device());
}

template <class T, class In, class Out>
int multiply(Handle *h, long m, long n, long k, T alpha, Matrix a, Matrix b, T beta, Matrix c, long batch) {
  EMULATOR_LOCK;
  long a_rows = a.transposed ? k : m, b_rows = b.transposed ? n : k;
  char name[200];
  snprintf(name, sizeof name, "f%zu %c%c m%ld n%ld k%ld ld %ld %ld %ld batch %ld", 8 * sizeof(In), "NT"[a.transposed],
           "NT"[b.transposed], m, n, k, a.ld, b.ld, c.ld, batch);
  if (h->device != device()) {
    warn("cuBLAS: %s with a handle of device %d on device %d", name, h->device, device());
    return BLAS_NOT_INITIALIZED;
  }
  bool valid = m >= 0 && n >= 0 && k >= 0 && batch >= 0 && a.ld >= std::max(1L, a_rows) && b.ld >= std::max(1L, b_rows) &&
               c.ld >= std::max(1L, m);
  if (!valid || !lies(a, a_rows, a.transposed ? m : k, batch, sizeof(In)) ||
      !lies(b, b_rows, b.transposed ? k : n, batch, sizeof(In)) || !lies(c, m, n, batch, sizeof(Out))) {
    warn("cuBLAS refuses %s, strides %lld %lld %lld", name, a.stride, b.stride, c.stride);
    return BLAS_INVALID_VALUE;
  }
  count(PRODUCT, name);
  if (!m || !n) return OK;
  enqueue(h->stream, [=] {
    for (long i = 0; i < batch; i++) {
      Matrix ai = a, bi = b;
      ai.start += i * a.stride * sizeof(In);
      bi.start += i * b.stride * sizeof(In);
      product<T, In, Out>(m, n, k, alpha, ai, bi, beta, (Out *)c.start + i * c.stride, c.ld);
    }
  });
  return OK;
}

// y = A x: a row times a matrix is a product whose results may have gaps.
template <class T>
int vector(Handle *h, int t, long m, long n, T alpha, Ptr a, long lda, Ptr x, long incx, T beta, Ptr y, long incy) {
  if (incx < 1 || incy < 1) return BLAS_NOT_SUPPORTED;
  Matrix row{x, incx, false, 0}, matrix{a, lda, t == 0, 0}, out{y, incy, false, 0};
  return multiply<T, T, T>(h, 1, t ? n : m, t ? m : n, alpha, row, matrix, beta, out, 1);
}
}  // namespace

extern "C" {
int cublasCreate_v2(Handle **out) { *out = new Handle{nullptr, device()}; return OK; }
int cublasDestroy_v2(Handle *h) {
  EMULATOR_LOCK;
  finish(h->stream);
  delete h;
  return OK;
}
int cublasSetStream_v2(Handle *h, Stream *stream) { h->stream = stream; return OK; }

#define PRODUCTS(T, plain, batched, of_vector) \
  int batched(Handle *h, int ta, int tb, int m, int n, int k, const T *alpha, Ptr a, int lda, long long sa, Ptr b, \
              int ldb, long long sb, const T *beta, Ptr c, int ldc, long long sc, int batch) { \
    Matrix left{a, lda, ta != 0, sa}, right{b, ldb, tb != 0, sb}, out{c, ldc, false, sc}; \
    return multiply<T, T, T>(h, m, n, k, *alpha, left, right, *beta, out, batch); \
  } \
  int plain(Handle *h, int ta, int tb, int m, int n, int k, const T *alpha, Ptr a, int lda, Ptr b, int ldb, \
            const T *beta, Ptr c, int ldc) { \
    return batched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1); \
  } \
  int of_vector(Handle *h, int t, int m, int n, const T *alpha, Ptr a, int lda, Ptr x, int incx, const T *beta, Ptr y, \
                int incy) { \
    return vector<T>(h, t, m, n, *alpha, a, lda, x, incx, *beta, y, incy); \
  }
PRODUCTS(float, cublasSgemm_v2, cublasSgemmStridedBatched, cublasSgemv_v2)
PRODUCTS(double, cublasDgemm_v2, cublasDgemmStridedBatched, cublasDgemv_v2)

// Of half precision with sums in f32, which is what cudarc asks for; the results may be f32 too.
int cublasGemmStridedBatchedEx(Handle *h, int ta, int tb, int m, int n, int k, const float *alpha, Ptr a, int at, int lda,
                               long long sa, Ptr b, int bt, int ldb, long long sb, const float *beta, Ptr c, int ct, int ldc,
                               long long sc, int batch, int compute, int) {
  if (compute != COMPUTE_32F || at != R_16F || bt != R_16F || (ct != R_16F && ct != R_32F)) {
    warn("cuBLAS: products of types %d %d %d, computed in %d, are not part of the emulator", at, bt, ct, compute);
    return BLAS_NOT_SUPPORTED;
  }
  auto run = ct == R_16F ? multiply<float, _Float16, _Float16> : multiply<float, _Float16, float>;
  return run(h, m, n, k, *alpha, {a, lda, ta != 0, sa}, {b, ldb, tb != 0, sb}, *beta, {c, ldc, false, sc}, batch);
}
int cublasGemmEx(Handle *h, int ta, int tb, int m, int n, int k, const float *alpha, Ptr a, int at, int lda, Ptr b, int bt,
                 int ldb, const float *beta, Ptr c, int ct, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute,
                                    algorithm);
}
}
