// A block averages the rows of an item for 32 columns.
KERNEL(256) average(const number *x, number *y, size rows, size width) {
  int lane = threadIdx.x % 32, part = threadIdx.x / 32;
  size column = (size)blockIdx.x * 32 + lane, item = blockIdx.y;
  real sum = 0;
  if (column < width) {
    for (size row = part; row < rows; row += 8) sum += load(x[(item * rows + row) * width + column]);
  }
  sum = sum_of_warps(sum);
  if (part == 0 && column < width) y[item * width + column] = store(sum / rows);
}

KERNEL(256) add_gradient(const number *d_y, number *d_x, size count, size rows, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) add_to(d_x + i, load(d_y[i / (rows * width) * width + i % width]) / rows);
}
