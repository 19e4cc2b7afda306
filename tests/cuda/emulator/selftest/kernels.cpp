// The kernels of the selftest.
extern const char KERNELS[] = R"(
#include "cuda_fp16.h"

template <class T> __device__ __forceinline__ T block_sum(T value) {
  __shared__ T parts[128];
  parts[threadIdx.x] = value;
  __syncthreads();
  for (unsigned step = 64; step > 0; step /= 2) {
    if (threadIdx.x < step) parts[threadIdx.x] += parts[threadIdx.x + step];
    __syncthreads();
  }
  return parts[0];
}
extern "C" __global__ void sums(const float *in, float *out, const size_t n) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = block_sum(i < n ? in[i] : 0.0f);
  if (threadIdx.x == 0) atomicAdd(out, sum);
}

// 1,000 numbers, in 250 threads.
extern "C" __global__ void __launch_bounds__(8 * (16 + 16)) warps(const float4 *__restrict__ in, float *out) {
  extern __shared__ __align__(16) float parts[];
  float4 x = __ldg(in + threadIdx.x);
  float value = fmaf(x.x, x.x, x.y * x.y) + x.z * x.z + x.w * x.w;
  unsigned lanes = __ballot_sync(0xffffffffu, 1);
  #pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    // Lanes that are not there give 0.
    float other = __shfl_down_sync(0xffffffffu, value, step);
    if (threadIdx.x % 32 + step < 32 && (lanes >> (threadIdx.x % 32 + step) & 1)) value += other;
  }
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x < 8) {
    value = parts[threadIdx.x];
    for (int mask = 4; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffu, value, mask);
    if (threadIdx.x == 0) out[1] = value;
  }
}

extern "C" __global__ void lanes(unsigned *out) {
  unsigned t = threadIdx.x;
  unsigned even = __ballot_sync(0xffffffffu, t % 2 == 0);
  if (t % 32 == 0) out[t / 32] = even;
  if (t < 8) {
    unsigned sum = t + 1;
    for (int step = 1; step < 8; step *= 2) {
      unsigned below = __shfl_up_sync(0xffu, sum, step, 8);
      if (t >= step) sum += below;
    }
    unsigned all = __ballot_sync(0xffu, 1);
    if (t == 7) { out[2] = all; out[3] = sum; }
  }
  __syncthreads();
}

extern "C" __global__ void leaving(int *out) {
  __shared__ int seen[64];
  seen[threadIdx.x] = 0;
  for (int round = 0; round < threadIdx.x; round++) {
    seen[threadIdx.x] = round + 1;
    __syncthreads();
    if (threadIdx.x == 63) out[round] = seen[62];
    __syncthreads();
  }
}

extern "C" __global__ void halves(__half *x) {
  x[2] = hexp(x[1]) + __float2half(1.0f);
  __half2 pair = __halves2half2(x[0], x[1]);
  x[3] = __low2half(__hfma2(__half2half2(x[1]), __half2half2(x[1]), pair));
}

extern "C" __global__ void race(int *out) {
  __shared__ int first;
  if (threadIdx.x == 0) first = 0;
  out[0] = blockIdx.x * blockDim.x + threadIdx.x;
  // Thread 1 may come before thread 0.
  if (threadIdx.x == 1) out[1] = first;
}

extern "C" __global__ void fresh(const float *in, float *out) {
  __shared__ float unset[4];
  out[0] = unset[1];
}

extern "C" __global__ void apart() {
  if (threadIdx.x < 40) __syncthreads();
  else __syncwarp();
}

template <int n> __global__ void plus(float *x) { *x += n; }
extern "C" {
__global__ void twice(float *x) { *x = 2 * *x; }
__global__ void plus_one(float *x) { plus<1>(x); }
}
)";
