// A block averages the rows of an item for 32 columns.
KERNEL(256) average(const number *x, number *y, size rows, size width) {
  size column = (size)blockIdx.x * 32 + threadIdx.x, item = blockIdx.y;
  real sum = sum_of_column(x + item * rows * width, rows, width);
  if (threadIdx.x < 32 && column < width) y[item * width + column] = store(sum / rows);
}

KERNEL(256) add_gradient(const number *d_y, number *d_x, size count, size rows, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) add_to(d_x + i, load(d_y[i / (rows * width) * width + i % width]) / rows);
}
