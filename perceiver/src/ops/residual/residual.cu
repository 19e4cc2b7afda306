KERNEL(256) add(const number *x, const number *branch, number *y, size count) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = store(load(x[i]) + load(branch[i]));
}

// The two may be the same.
KERNEL(256) add_to_both(const number *d_y, number *d_x, number *d_branch, size count) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  add_to(d_x + i, load(d_y[i]));
  add_to(d_branch + i, load(d_y[i]));
}
