// DROPOUT: whether numbers of the branch are dropped, at a rate and by a seed.

__device__ __forceinline__ real kept(size i, double rate, size seed) {
#if DROPOUT
  return dropout_factor(seed, i, rate);
#else
  return 1;
#endif
}

KERNEL(256) add(const number *x, const number *branch, number *y, size count, double rate, size seed) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = store(load(x[i]) + load(branch[i]) * kept(i, rate, seed));
}

// The two may be the same.
KERNEL(256) add_to_both(const number *d_y, number *d_x, number *d_branch, size count, double rate, size seed) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  real gradient = load(d_y[i]);
  add_to(d_x + i, gradient);
  add_to(d_branch + i, gradient * kept(i, rate, seed));
}
