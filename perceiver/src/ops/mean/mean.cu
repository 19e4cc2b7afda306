// A block averages the rows of an item for 32 columns.
KERNEL(256) average(const number *x, number *y, size rows, size width) {
  size blocks_of_item = (width + 31) / 32, item = blockIdx.x / blocks_of_item;
  size column = blockIdx.x % blocks_of_item * 32 + threadIdx.x % 32;
  real sum = sum_of_column(x + item * rows * width, rows, width, column);
  if (threadIdx.x < 32 && column < width) y[item * width + column] = store(sum / rows);
}

KERNEL(256) add_gradient(const number *d_y, number *d_x, size count, size rows, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) add_to(d_x + i, load(d_y[i / (rows * width) * width + i % width]) / rows);
}
