// A warp normalises a row, and keeps its mean and what it was scaled by.

#define ROWS_OF_BLOCK 8

KERNEL(256) normalize(const number *x, const number *weight, const number *bias, number *y, real *statistics,
                      size rows, size width, double epsilon) {
  size row = (size)blockIdx.x * ROWS_OF_BLOCK + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  x += row * width;
  y += row * width;
  real sum = 0;
  for (size i = lane; i < width; i += 32) sum += load(x[i]);
  real mean = sum_of(sum, 32) / width, squares = 0;
  for (size i = lane; i < width; i += 32) {
    real difference = load(x[i]) - mean;
    squares += difference * difference;
  }
  real scale = 1 / root(sum_of(squares, 32) / width + (real)epsilon);
  for (size i = lane; i < width; i += 32) y[i] = store((load(x[i]) - mean) * scale * load(weight[i]) + load(bias[i]));
  if (statistics && lane == 0) {
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = scale;
  }
}

KERNEL(256) add_gradient(const number *x, const number *weight, const real *statistics, const number *d_y,
                         number *d_x, size rows, size width) {
  size row = (size)blockIdx.x * ROWS_OF_BLOCK + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  x += row * width;
  d_y += row * width;
  d_x += row * width;
  real mean = statistics[2 * row], scale = statistics[2 * row + 1], sum = 0, product = 0;
  for (size i = lane; i < width; i += 32) {
    real gradient = load(d_y[i]) * load(weight[i]);
    sum += gradient;
    product += gradient * (load(x[i]) - mean) * scale;
  }
  sum = sum_of(sum, 32) / width;
  product = sum_of(product, 32) / width;
  for (size i = lane; i < width; i += 32) {
    real normal = (load(x[i]) - mean) * scale;
    add_to(d_x + i, scale * (load(d_y[i]) * load(weight[i]) - sum - normal * product));
  }
}

// A block sums over the rows for 32 columns.
KERNEL(256) add_gradient_of_parameters(const number *x, const real *statistics, const number *d_y, number *d_weight,
                                       number *d_bias, size rows, size width) {
  int lane = threadIdx.x % 32, part = threadIdx.x / 32;
  size column = (size)blockIdx.x * 32 + lane;
  real weight = 0, bias = 0;
  if (column < width) {
    for (size row = part; row < rows; row += 8) {
      real gradient = load(d_y[row * width + column]);
      bias += gradient;
      weight += gradient * (load(x[row * width + column]) - statistics[2 * row]) * statistics[2 * row + 1];
    }
  }
  weight = sum_of_warps(weight);
  bias = sum_of_warps(bias);
  if (part == 0 && column < width) {
    add_to(d_weight + column, weight);
    add_to(d_bias + column, bias);
  }
}
