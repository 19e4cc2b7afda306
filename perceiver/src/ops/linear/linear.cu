// What surrounds a matrix product: what it is added to, and the gradients of that.

// Numbers of the result's shape, a row that is added to all, or both; what is not there has the address 0.
KERNEL(256) start(const number *residual, const number *row, number *y, size count, size width) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  real sum = residual ? load(residual[i]) : 0;
  if (row) sum += load(row[i % width]);
  y[i] = store(sum);
}

KERNEL(256) add_all(const number *d_y, number *d_residual, size count) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) add_to(d_residual + i, load(d_y[i]));
}

// A block sums over the rows for 32 columns.
KERNEL(256) add_column_sums(const number *x, number *sums, size rows, size width) {
  size column = (size)blockIdx.x * 32 + threadIdx.x % 32;
  real sum = sum_of_column(x, rows, width, column);
  if (threadIdx.x < 32 && column < width) add_to(sums + column, sum);
}
