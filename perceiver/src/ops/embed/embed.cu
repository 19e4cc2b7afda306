// Rows of a table at places, which are not negative. One beyond the table is NaN, and has no gradient.

typedef unsigned long long place;

// A thread adds a number of a row.
KERNEL(256) add_rows(const number *table, const place *places, number *y, size count, size width, size rows) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  place row = places[i / width];
  add_to(y + i, row < (place)rows ? load(table[row * width + i % width]) : root(-1));
}

// For each row of the table, the number of places from the first that reads it to the last of all; 0 if none does.
KERNEL(256) find_first(const place *places, place *rests, size count, size rows) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count && places[i] < (place)rows) atomicMax(rests + places[i], (place)(count - i));
}

// Of the columns of a row, each thread of a warp has so many.
#define COLUMNS 4

// A block adds the gradient of some columns of a row of the table, if its place is the first that reads it. Each warp goes
// through the places 32 at a time, always in the same order, and sums before it rounds.
KERNEL(256) add_gradient(const number *d_y, const place *places, const place *rests, number *d_table, size count,
                         size width, size rows) {
  size blocks_of_row = (width + 32 * COLUMNS - 1) / (32 * COLUMNS), first = blockIdx.x / blocks_of_row;
  place row = places[first];
  if (row >= (place)rows || rests[row] != (place)(count - first)) return;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  size column = blockIdx.x % blocks_of_row * 32 * COLUMNS + lane;
  real sums[COLUMNS];
  for (int c = 0; c < COLUMNS; c++) sums[c] = 0;
  for (size start = first + 32 * warp; start < count; start += 256) {
    unsigned found = __ballot_sync(~0u, start + lane < count && places[start + lane] == row);
    for (; found; found &= found - 1) {
      const number *numbers = d_y + (start + __ffs((int)found) - 1) * width;
#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        if (column + 32 * c < width) sums[c] += load(numbers[column + 32 * c]);
    }
  }
  for (int c = 0; c < COLUMNS; c++) {
    real sum = sum_of_warps(sums[c]);
    if (warp == 0 && column + 32 * c < width) add_to(d_table + row * width + column + 32 * c, sum);
  }
}
