// What surrounds a matrix product: a row that is added to all, and its gradient.

KERNEL(256) repeat_row(const number *row, number *y, size count, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = row[i % width];
}

// A block sums over the rows for 32 columns.
KERNEL(256) add_column_sums(const number *x, number *sums, size rows, size width) {
  size column = (size)blockIdx.x * 32 + threadIdx.x;
  real sum = sum_of_column(x, rows, width);
  if (threadIdx.x < 32 && column < width) add_to(sums + column, sum);
}
