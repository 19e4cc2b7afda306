KERNEL(256) repeat(const number *x, number *y, size count, size of_item) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = x[i % of_item];
}

KERNEL(256) add_gradient(const number *d_y, number *d_x, size items, size of_item) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= of_item) return;
  real sum = 0;
  for (size item = 0; item < items; item++) sum += load(d_y[item * of_item + i]);
  add_to(d_x + i, sum);
}
