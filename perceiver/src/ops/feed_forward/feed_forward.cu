// What lies between the two products of a feed-forward layer.

#define GEGLU 0
#define GELU 1
#define TANH_GELU 2
#define RELU 3
#define SQUARED_RELU 4

#define TANH_FACTOR ((real)0.7978845608028654)
#define TANH_CUBE ((real)0.044715)

// Phi(x) and its derivative.
__device__ __forceinline__ real normal(real x) { return (real)0.5 * (1 + error_function(x * (real)0.7071067811865476)); }
__device__ __forceinline__ real density(real x) { return (real)0.3989422804014327 * exponential((real)-0.5 * x * x); }

__device__ __forceinline__ real activated(real x) {
#if ACTIVATION == GEGLU || ACTIVATION == GELU
  return x * normal(x);
#elif ACTIVATION == TANH_GELU
  return (real)0.5 * x * (1 + hyperbolic_tangent(TANH_FACTOR * (x + TANH_CUBE * x * x * x)));
#elif ACTIVATION == RELU
  return x > 0 ? x : 0;
#else
  return x > 0 ? x * x : 0;
#endif
}

__device__ __forceinline__ real derivative(real x) {
#if ACTIVATION == GEGLU || ACTIVATION == GELU
  return normal(x) + x * density(x);
#elif ACTIVATION == TANH_GELU
  real t = hyperbolic_tangent(TANH_FACTOR * (x + TANH_CUBE * x * x * x));
  return (real)0.5 * (1 + t) + (real)0.5 * x * (1 - t * t) * TANH_FACTOR * (1 + 3 * TANH_CUBE * x * x);
#elif ACTIVATION == RELU
  return x > 0 ? 1 : 0;
#else
  return x > 0 ? 2 * x : 0;
#endif
}

__device__ __forceinline__ real sum(number x, const number *bias, size i) { return load(x) + (bias ? load(bias[i]) : 0); }

// `expanded` is without the bias, so that it is all the backward pass needs.
KERNEL(256) activate(const number *expanded, const number *bias, number *hidden, size count, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size row = i / width, column = i % width;
#if ACTIVATION == GEGLU
  expanded += row * 2 * width;
  real value = sum(expanded[column], bias, column);
  hidden[i] = store(value * activated(sum(expanded[width + column], bias, width + column)));
#else
  hidden[i] = store(activated(sum(expanded[i], bias, column)));
#endif
}

KERNEL(256) activation_gradient(const number *expanded, const number *bias, const number *d_hidden, number *d_expanded,
                                size count, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size row = i / width, column = i % width;
  real gradient = load(d_hidden[i]);
#if ACTIVATION == GEGLU
  expanded += row * 2 * width;
  d_expanded += row * 2 * width;
  real value = sum(expanded[column], bias, column), gate = sum(expanded[width + column], bias, width + column);
  d_expanded[column] = store(gradient * activated(gate));
  d_expanded[width + column] = store(gradient * value * derivative(gate));
#else
  d_expanded[i] = store(gradient * derivative(sum(expanded[i], bias, column)));
#endif
}
