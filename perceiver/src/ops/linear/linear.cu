// What surrounds a matrix product: a row that is added to all, and its gradient.

KERNEL(256) repeat_row(const number *row, number *y, size count, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = row[i % width];
}

// A block sums over the rows for 32 columns.
KERNEL(256) add_column_sums(const number *x, number *sums, size rows, size width) {
  int lane = threadIdx.x % 32, part = threadIdx.x / 32;
  size column = (size)blockIdx.x * 32 + lane;
  real sum = 0;
  if (column < width) {
    for (size row = part; row < rows; row += 8) sum += load(x[row * width + column]);
  }
  sum = sum_of_warps(sum);
  if (part == 0 && column < width) add_to(sums + column, sum);
}
