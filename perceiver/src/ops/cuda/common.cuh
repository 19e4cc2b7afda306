// What every kernel starts with. `number` is how numbers are stored, `real` is what they are computed in.
//
// All parameters of a kernel have 64 bits: addresses, sizes and `double`s.

#if defined(IN_F64)
typedef double number;
typedef double real;
#define LOWEST (-1.7976931348623157e308)
#elif defined(IN_F16)
typedef unsigned short number;
typedef float real;
#define LOWEST (-3.4028234e38f)
#else
typedef float number;
typedef float real;
#define LOWEST (-3.4028234e38f)
#endif

typedef long long size;

#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

#if defined(IN_F16) && defined(__CUDACC_RTC__)
// Not from `cuda_fp16.h`, which is not everywhere where kernels are compiled.
__device__ __forceinline__ real load(number x) {
  real y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
__device__ __forceinline__ number store(real x) {
  number y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
#elif defined(IN_F16)
__device__ inline real load(number x) {
  _Float16 y;
  memcpy(&y, &x, sizeof y);
  return (real)y;
}
__device__ inline number store(real x) {
  _Float16 y = (_Float16)x;
  number z;
  memcpy(&z, &y, sizeof z);
  return z;
}
#else
__device__ __forceinline__ real load(number x) { return x; }
__device__ __forceinline__ number store(real x) { return x; }
#endif

__device__ __forceinline__ void add_to(number *sum, real term) { *sum = store(load(*sum) + term); }

#ifdef IN_F64
__device__ __forceinline__ real exponential(real x) { return exp(x); }
__device__ __forceinline__ real error_function(real x) { return erf(x); }
__device__ __forceinline__ real hyperbolic_tangent(real x) { return tanh(x); }
__device__ __forceinline__ real logarithm(real x) { return log(x); }
__device__ __forceinline__ real root(real x) { return sqrt(x); }
#else
__device__ __forceinline__ real exponential(real x) { return expf(x); }
__device__ __forceinline__ real error_function(real x) { return erff(x); }
__device__ __forceinline__ real hyperbolic_tangent(real x) { return tanhf(x); }
__device__ __forceinline__ real logarithm(real x) { return logf(x); }
__device__ __forceinline__ real root(real x) { return sqrtf(x); }
#endif

// The sum over the threads of a warp, or over each half of one.
__device__ __forceinline__ real sum_of(real x, int threads) {
  for (int distance = threads / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
  return x;
}
__device__ __forceinline__ real largest_of(real x, int threads) {
  for (int distance = threads / 2; distance > 0; distance /= 2) {
    real other = __shfl_xor_sync(~0u, x, distance);
    x = other > x ? other : x;
  }
  return x;
}

// The sum over the warps of a block of 256 threads, for each of the 32 threads of the first.
__device__ __forceinline__ real sum_of_warps(real x) {
  __shared__ real parts[8][32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();
  parts[warp][lane] = x;
  __syncthreads();
  for (int other = 1; other < 8; other++) x += parts[other][lane];
  return x;
}

// The sum of a column of `x`, for each thread of the first warp of a block of 256. Those of another warp have the same columns.
__device__ __forceinline__ real sum_of_column(const number *x, size rows, size width, size column) {
  real sum = 0;
  if (column < width) {
    for (size row = threadIdx.x / 32; row < rows; row += 8) sum += load(x[row * width + column]);
  }
  return sum_of_warps(sum);
}

// What the i-th of some numbers is multiplied by: 0 at this rate, otherwise what makes up for it. The numbers of a seed are
// those of SplitMix64.
__device__ __forceinline__ real dropout_factor(unsigned long long seed, unsigned long long i, double rate) {
  unsigned long long x = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  x ^= x >> 31;
  return (x >> 11) * (1.0 / 9007199254740992.0) < rate ? 0 : (real)(1 / (1 - rate));
}
