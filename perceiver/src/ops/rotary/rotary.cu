// A thread rotates a pair of channels of a row; the other channels are copied.

// `turns` has the cosine and sine of each pair of each row, for one item or for all.
__device__ __forceinline__ void rotated(const number *x, const real *turns, size row, size pair, size turn_rows,
                                        size width, size heads, size dim, size pairs, real sign, real *first, real *second) {
  *first = load(x[row * width + 2 * pair]);
  *second = load(x[row * width + 2 * pair + 1]);
  size of_head = pair % (dim / 2);
  if (2 * pair >= heads * dim || of_head >= pairs) return;
  const real *turn = turns + 2 * (row % turn_rows * pairs + of_head);
  real a = *first, b = *second, cosine = turn[0], sine = sign * turn[1];
  *first = a * cosine - b * sine;
  *second = b * cosine + a * sine;
}

KERNEL(256) rotate(const number *x, const real *turns, number *y, size count, size turn_rows, size width, size heads,
                   size dim, size pairs) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  real first, second;
  rotated(x, turns, 2 * i / width, i % (width / 2), turn_rows, width, heads, dim, pairs, 1, &first, &second);
  y[2 * i] = store(first);
  y[2 * i + 1] = store(second);
}

KERNEL(256) add_gradient(const number *d_y, const real *turns, number *d_x, size count, size turn_rows, size width,
                         size heads, size dim, size pairs) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  real first, second;
  rotated(d_y, turns, 2 * i / width, i % (width / 2), turn_rows, width, heads, dim, pairs, -1, &first, &second);
  add_to(d_x + 2 * i, first);
  add_to(d_x + 2 * i + 1, second);
}
