// Maps between the heads of queries and the space of tokens, and the gradients of the weights that do it.

#define TILE 32
#define STEP 16

// out[item, head, row, column] = (sum over outer and inner of left[item, head, row, outer, inner] * inner_scale[inner]
// + inner_shift[inner]) * right[item, head, outer, inner, column]) * column_scale[column] + bias[head, column].
// Vectors may be absent. Matrices are where their strides say.
#define PROJECT                                                                                                      \
  size heads, size rows, size outer, size inner, size columns, size left_item, size left_head, size left_row,        \
      size left_outer, size left_inner, size right_item, size right_head, size right_outer, size right_inner,        \
      size right_column, size out_item, size out_head, size out_row, size out_column, const number *inner_scale,     \
      const number *inner_shift, const number *column_scale, const number *bias

template <class Put>
__device__ __forceinline__ void project(const number *left, const number *right, Put put, PROJECT) {
  __shared__ real lefts[TILE][STEP + 1], rights[STEP][TILE + 1];
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  size tiles = (rows + TILE - 1) / TILE, block = blockIdx.x / tiles, item = block / heads, head = block % heads;
  size first_row = blockIdx.x % tiles * TILE, first_column = (size)blockIdx.y * TILE;
  left += item * left_item + head * left_head;
  right += item * right_item + head * right_head;
  real sums[2][2] = {{0, 0}, {0, 0}};
  for (size part = 0; part < outer; part++) {
    for (size start = 0; start < inner; start += STEP) {
      __syncthreads();
      for (int i = threadIdx.x; i < TILE * STEP; i += 256) {
        size row = first_row + i / STEP, k = start + i % STEP;
        real x = 0;
        if (row < rows && k < inner) {
          x = load(left[row * left_row + part * left_outer + k * left_inner]);
          if (inner_scale) x *= load(inner_scale[k]);
          if (inner_shift) x += load(inner_shift[k]);
        }
        lefts[i / STEP][i % STEP] = x;
        size column = first_column + i % TILE;
        k = start + i / TILE;
        rights[i / TILE][i % TILE] =
            column < columns && k < inner ? load(right[part * right_outer + k * right_inner + column * right_column]) : 0;
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < STEP; k++) {
        for (int r = 0; r < 2; r++)
          for (int c = 0; c < 2; c++) sums[r][c] += lefts[ty + 16 * r][k] * rights[k][tx + 16 * c];
      }
    }
  }
  for (int r = 0; r < 2; r++) {
    for (int c = 0; c < 2; c++) {
      size row = first_row + ty + 16 * r, column = first_column + tx + 16 * c;
      if (row >= rows || column >= columns) continue;
      real x = sums[r][c];
      if (column_scale) x *= load(column_scale[column]);
      if (bias) x += load(bias[head * columns + column]);
      put(item * out_item + head * out_head + row * out_row + column * out_column, x);
    }
  }
}

#define ARGUMENTS                                                                                                   \
  heads, rows, outer, inner, columns, left_item, left_head, left_row, left_outer, left_inner, right_item, right_head, \
      right_outer, right_inner, right_column, out_item, out_head, out_row, out_column, inner_scale, inner_shift,    \
      column_scale, bias

struct Store {
  number *out;
  __device__ void operator()(size i, real x) const { out[i] = store(x); }
};
struct Add {
  number *out;
  __device__ void operator()(size i, real x) const { add_to(out + i, x); }
};
struct Keep {
  real *out;
  __device__ void operator()(size i, real x) const { out[i] = x; }
};

KERNEL(256) project_and_store(const number *left, const number *right, number *out, PROJECT) {
  project(left, right, Store{out}, ARGUMENTS);
}
KERNEL(256) project_and_add(const number *left, const number *right, number *out, PROJECT) {
  project(left, right, Add{out}, ARGUMENTS);
}
KERNEL(256) project_and_keep(const number *left, const number *right, real *out, PROJECT) {
  project(left, right, Keep{out}, ARGUMENTS);
}

// The sums of columns, not yet rounded. A block sums over the rows for 32 columns.
KERNEL(256) sum_columns(const number *x, real *sums, size rows, size width) {
  size column = (size)blockIdx.x * 32 + threadIdx.x % 32;
  real sum = sum_of_column(x, rows, width, column);
  if (threadIdx.x < 32 && column < width) sums[column] = sum;
}

// The weight and bias of a norm, folded into the weight and bias of the map after it. A warp has a row.
KERNEL(256) fold(const number *norm_weight, const number *norm_bias, const number *weight, const number *bias,
                 number *folded, number *folded_bias, size rows, size width) {
  size row = (size)blockIdx.x * 8 + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  real sum = 0;
  for (size i = lane; i < width; i += 32) {
    real x = load(weight[row * width + i]);
    folded[row * width + i] = store(x * load(norm_weight[i]));
    sum += x * load(norm_bias[i]);
  }
  sum = sum_of(sum, 32);
  if (lane == 0) folded_bias[row] = store(sum + (bias ? load(bias[row]) : 0));
}

__device__ __forceinline__ real value_of(const number *x) { return load(*x); }
#if defined(IN_F16)
__device__ __forceinline__ real value_of(const real *x) { return *x; }
#endif

// The gradients of the four, from those of the folded weight and bias. Of the latter, those of the first `skipped` rows are
// 0 and not there. A block sums over the rows for 32 columns.
template <class Gradient>
__device__ __forceinline__ void unfold(const Gradient *d_folded, const Gradient *d_folded_bias, const number *norm_weight,
                                       const number *norm_bias, const number *weight, number *d_norm_weight,
                                       number *d_norm_bias, number *d_weight, number *d_bias, size rows, size width,
                                       size skipped) {
  int lane = threadIdx.x % 32, part = threadIdx.x / 32;
  size column = (size)blockIdx.x * 32 + lane;
  real of_weight = 0, of_bias = 0;
  if (column < width) {
    real scale = load(norm_weight[column]), shift = load(norm_bias[column]);
    for (size row = part; row < rows; row += 8) {
      real x = load(weight[row * width + column]), gradient = value_of(d_folded + row * width + column);
      real bias = row < skipped ? 0 : value_of(d_folded_bias + row - skipped);
      add_to(d_weight + row * width + column, scale * gradient + shift * bias);
      of_weight += x * gradient;
      of_bias += x * bias;
      if (d_bias && column == 0) add_to(d_bias + row, bias);
    }
  }
  of_weight = sum_of_warps(of_weight);
  of_bias = sum_of_warps(of_bias);
  if (part == 0 && column < width) {
    add_to(d_norm_weight + column, of_weight);
    add_to(d_norm_bias + column, of_bias);
  }
}

#define UNFOLD                                                                                                  \
  const number *norm_weight, const number *norm_bias, const number *weight, number *d_norm_weight,              \
      number *d_norm_bias, number *d_weight, number *d_bias, size rows, size width, size skipped
#define UNFOLDED norm_weight, norm_bias, weight, d_norm_weight, d_norm_bias, d_weight, d_bias, rows, width, skipped

KERNEL(256) unfold_stored(const number *d_folded, const number *d_folded_bias, UNFOLD) {
  unfold(d_folded, d_folded_bias, UNFOLDED);
}
KERNEL(256) unfold_kept(const real *d_folded, const real *d_folded_bias, UNFOLD) {
  unfold(d_folded, d_folded_bias, UNFOLDED);
}
