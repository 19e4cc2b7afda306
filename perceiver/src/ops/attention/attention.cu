// softmax(query · key^T · scale) · value, without keeping scores: a block goes through the keys for some of the queries of
// a head, with the largest score so far and the sum of the weights relative to it.
//
// ROWS: rows of a block for each of its 16 rows of threads. KEY_COLUMNS, VALUE_COLUMNS: numbers of a key and of a value for
// each of its 16 columns of threads. MASK: as below. DROPOUT: whether
// weights are dropped, at a rate and by a seed.

#define NO_MASK 0
#define OF_KEYS 1
#define OF_PAIRS 2
#define CAUSAL 3
#define CAUSAL_KEYS 4

// The rows of a block, and the columns it goes through at once.
#define TILE_ROWS (16 * ROWS)
#define TILE_COLUMNS 64
#define COLUMNS 4
#define STEP 16

struct Tiles {
  real rows[TILE_ROWS][STEP + 1];
  real columns[TILE_COLUMNS][STEP + 1];
  real weights[TILE_ROWS][TILE_COLUMNS + 1];
};

// Some rows of a matrix.
struct Rows {
  const number *first;
  size count, stride;
};

__device__ __forceinline__ Rows rows_of(const number *matrix, size first, size count, size stride) {
  Rows rows = {matrix + first * stride, count - first, stride};
  return rows;
}

__device__ __forceinline__ real at(Rows rows, size row, size column, size width) {
  return row < rows.count && column < width ? load(rows.first[row * rows.stride + column]) : 0;
}

// products[r][c]: of row ty * ROWS + r and column tx + 16 c.
__device__ __forceinline__ void multiply(real (*products)[COLUMNS], Tiles &tiles, Rows rows, Rows columns, size width) {
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) products[r][c] = 0;
  for (size start = 0; start < width; start += STEP) {
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; r++) tiles.rows[ty + 16 * r][tx] = at(rows, ty + 16 * r, start + tx, width);
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) tiles.columns[ty + 16 * c][tx] = at(columns, ty + 16 * c, start + tx, width);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < STEP; i++) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        real x = tiles.rows[ty * ROWS + r][i];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) products[r][c] += x * tiles.columns[tx + 16 * c][i];
      }
    }
  }
}

// Adds the columns, weighted, to sums[r][c]: of row ty * ROWS + r, number tx + 16 c.
template <int COUNT>
__device__ __forceinline__ void add_weighted(real (*sums)[COUNT], const Tiles &tiles, Rows columns, size width) {
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  int last = columns.count < TILE_COLUMNS ? columns.count : TILE_COLUMNS;
  for (int i = 0; i < last; i++) {
#pragma unroll
    for (int c = 0; c < COUNT; c++) {
      real x = at(columns, i, tx + 16 * c, width);
#pragma unroll
      for (int r = 0; r < ROWS; r++) sums[r][c] += tiles.weights[ty * ROWS + r][i] * x;
    }
  }
}

// The sizes, which most kernels have in this order. Queries have rows of all heads' numbers, and so do results; items have
// keys `key_item` after those of the one before, in rows of `key_stride` numbers, of which those of a head are `key_head`
// after those of the one before.
#define SIZES                                                                                                   \
  size queries, size keys, size heads, size dim, size value_dim, size key_item, size key_stride, size key_head, \
      size value_head, size offset, double rate, size seed

__device__ __forceinline__ bool is_allowed(const unsigned char *mask, size item, size query, size key, size queries,
                                           size keys, size offset) {
#if MASK == OF_KEYS
  return mask[item * keys + key];
#elif MASK == OF_PAIRS
  return mask[(item * queries + query) * keys + key];
#elif MASK == CAUSAL
  return key <= query + offset;
#elif MASK == CAUSAL_KEYS
  return key <= query + offset && mask[item * keys + key];
#else
  return true;
#endif
}

// Blocks along x: those of the first head of the first item, then of the second; along y: splits.
__device__ __forceinline__ size blocks_of(size rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

// What the weight of a key is multiplied by for the query at `place` among those of all heads of all items.
__device__ __forceinline__ real kept(size place, size key, size keys, double rate, size seed) {
#if DROPOUT
  return dropout_factor(seed, place * keys + key, rate);
#else
  return 1;
#endif
}

// Which keys the split of a block has.
__device__ __forceinline__ void range_of(size keys, size *start, size *end) {
  size tiles = (keys + TILE_COLUMNS - 1) / TILE_COLUMNS, of_split = (tiles + gridDim.y - 1) / gridDim.y;
  *start = blockIdx.y * of_split * TILE_COLUMNS;
  *end = *start + of_split * TILE_COLUMNS;
  if (*end > keys) *end = keys;
}

// `statistics` has the largest score and the sum of weights of each query of each head, for each split. With more than one
// split, sums go to `partial`.
KERNEL(256) attend(const number *query, const number *key, const number *value, const unsigned char *mask, number *out,
                   real *partial, real *statistics, double scale, SIZES) {
  __shared__ Tiles tiles;
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  size block = blockIdx.x / blocks_of(queries), item = block / heads, head = block % heads;
  size first = blockIdx.x % blocks_of(queries) * TILE_ROWS;
  query += item * queries * heads * dim + head * dim;
  key += item * key_item + head * key_head;
  value += item * key_item + head * value_head;
  Rows rows = rows_of(query, first, queries, heads * dim);

  real sums[ROWS][VALUE_COLUMNS], largest[ROWS], totals[ROWS];
  for (int r = 0; r < ROWS; r++) {
    largest[r] = LOWEST;
    totals[r] = 0;
    for (int c = 0; c < VALUE_COLUMNS; c++) sums[r][c] = 0;
  }
  size start, end;
  range_of(keys, &start, &end);
#if MASK == CAUSAL
  if (end > first + TILE_ROWS + offset) end = first + TILE_ROWS + offset;
#endif
  for (; start < end; start += TILE_COLUMNS) {
    real scores[ROWS][COLUMNS];
    multiply(scores, tiles, rows, rows_of(key, start, keys, key_stride), dim);
    for (int r = 0; r < ROWS; r++) {
      size row = first + ty * ROWS + r;
      real most = largest[r];
      for (int c = 0; c < COLUMNS; c++) {
        size column = start + tx + 16 * c;
        bool is_used = column < keys && row < queries;
        scores[r][c] = is_used && is_allowed(mask, item, row, column, queries, keys, offset)
                           ? scores[r][c] * (real)scale : LOWEST;
        if (scores[r][c] > most) most = scores[r][c];
      }
      most = largest_of(most, 16);
      real total = 0, factor = exponential(largest[r] - most);
      for (int c = 0; c < COLUMNS; c++) {
        real weight = start + tx + 16 * c < keys ? exponential(scores[r][c] - most) : 0;
        size of_head = block * queries + row;
        tiles.weights[ty * ROWS + r][tx + 16 * c] = weight * kept(of_head, start + tx + 16 * c, keys, rate, seed);
        total += weight;
      }
      totals[r] = totals[r] * factor + sum_of(total, 16);
      for (int c = 0; c < VALUE_COLUMNS; c++) sums[r][c] *= factor;
      largest[r] = most;
    }
    __syncwarp();
    add_weighted<VALUE_COLUMNS>(sums, tiles, rows_of(value, start, keys, key_stride), value_dim);
  }

  for (int r = 0; r < ROWS; r++) {
    size row = first + ty * ROWS + r;
    if (row >= queries) continue;
    size place = (blockIdx.y * (gridDim.x / blocks_of(queries)) + block) * queries + row;
    if (statistics && tx == 0) {
      statistics[2 * place] = largest[r];
      statistics[2 * place + 1] = totals[r];
    }
    for (int c = 0; c < VALUE_COLUMNS; c++) {
      size column = tx + 16 * c;
      if (column >= value_dim) continue;
      if (gridDim.y > 1) partial[place * value_dim + column] = sums[r][c];
      else out[((item * queries + row) * heads + head) * value_dim + column] = store(sums[r][c] / totals[r]);
    }
  }
}

// Joins the splits: a thread for each number of the result. The statistics of the first split become those of all, in `joined`.
KERNEL(256) join(const real *partial, const real *statistics, number *out, real *joined, size splits, size count,
                 size queries, size heads, size value_dim) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count * value_dim) return;
  size place = i / value_dim, column = i % value_dim;  // Of a query of a head of an item.
  real most = LOWEST, total = 0, sum = 0;
  for (size split = 0; split < splits; split++) {
    real largest = statistics[2 * (split * count + place)];
    if (largest > most) most = largest;
  }
  for (size split = 0; split < splits; split++) {
    size of_split = split * count + place;
    real factor = exponential(statistics[2 * of_split] - most);
    total += factor * statistics[2 * of_split + 1];
    sum += factor * partial[of_split * value_dim + column];
  }
  size row = place % queries, head = place / queries % heads, item = place / queries / heads;
  out[((item * queries + row) * heads + head) * value_dim + column] = store(sum / total);
  if (joined && column == 0) {
    joined[2 * place] = most;
    joined[2 * place + 1] = total;
  }
}

// deltas: of each query of each head, the product of a result and its gradient. A warp has one.
KERNEL(256) multiply_results(const number *out, const number *d_out, real *deltas, size count, size queries, size heads,
                             size value_dim) {
  size place = (size)blockIdx.x * 8 + threadIdx.x / 32;
  if (place >= count) return;
  size row = place % queries, head = place / queries % heads, item = place / queries / heads;
  size first = ((item * queries + row) * heads + head) * value_dim;
  real sum = 0;
  for (size i = threadIdx.x % 32; i < value_dim; i += 32) sum += load(out[first + i]) * load(d_out[first + i]);
  sum = sum_of(sum, 32);
  if (threadIdx.x % 32 == 0) deltas[place] = sum;
}

// The weight of a pair, from its score, and with it the gradient of the score.
__device__ __forceinline__ real weight_of(real *score, const real *statistics, size place, bool is_allowed, real scale) {
  real weight = exponential((is_allowed ? *score * scale : LOWEST) - statistics[2 * place]) / statistics[2 * place + 1];
  *score = is_allowed ? weight * scale : 0;
  return weight;
}

// Gradients of keys and values: the rows of a block are keys, and it goes through the queries.
KERNEL(256) add_gradients_of_keys(const number *query, const number *key, const number *value, const unsigned char *mask,
                                  const number *d_out, const real *statistics, const real *deltas, number *d_key,
                                  number *d_value, double scale, SIZES) {
  __shared__ Tiles tiles;
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  size block = blockIdx.x / blocks_of(keys), item = block / heads, head = block % heads;
  size first = blockIdx.x % blocks_of(keys) * TILE_ROWS;
  query += item * queries * heads * dim + head * dim;
  d_out += item * queries * heads * value_dim + head * value_dim;
  statistics += 2 * block * queries;
  deltas += block * queries;
  size of_keys = item * key_item + head * key_head, of_values = item * key_item + head * value_head;
  Rows key_rows = rows_of(key + of_keys, first, keys, key_stride);
  Rows value_rows = rows_of(value + of_values, first, keys, key_stride);

  real key_sums[ROWS][KEY_COLUMNS], value_sums[ROWS][VALUE_COLUMNS];
  for (int r = 0; r < ROWS; r++) {
    for (int c = 0; c < KEY_COLUMNS; c++) key_sums[r][c] = 0;
    for (int c = 0; c < VALUE_COLUMNS; c++) value_sums[r][c] = 0;
  }
  for (size start = 0; start < queries; start += TILE_COLUMNS) {
#if MASK == CAUSAL
    if (start + TILE_COLUMNS + offset <= first) continue;
#endif
    Rows queries_here = rows_of(query, start, queries, heads * dim);
    Rows d_out_here = rows_of(d_out, start, queries, heads * value_dim);
    real scores[ROWS][COLUMNS], products[ROWS][COLUMNS];
    multiply(scores, tiles, key_rows, queries_here, dim);
    multiply(products, tiles, value_rows, d_out_here, value_dim);
    for (int r = 0; r < ROWS; r++) {
      for (int c = 0; c < COLUMNS; c++) {
        size row = first + ty * ROWS + r, column = start + tx + 16 * c;
        bool is_used = row < keys && column < queries;
        bool allowed = is_used && is_allowed(mask, item, column, row, queries, keys, offset);
        real factor = kept(block * queries + column, row, keys, rate, seed);
        real weight = is_used ? weight_of(&scores[r][c], statistics, column, allowed, (real)scale) : 0;
        scores[r][c] = is_used ? scores[r][c] * (products[r][c] * factor - deltas[column]) : 0;
        tiles.weights[ty * ROWS + r][tx + 16 * c] = weight * factor;
      }
    }
    __syncwarp();
    add_weighted<VALUE_COLUMNS>(value_sums, tiles, d_out_here, value_dim);
    __syncwarp();
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) tiles.weights[ty * ROWS + r][tx + 16 * c] = scores[r][c];
    __syncwarp();
    add_weighted<KEY_COLUMNS>(key_sums, tiles, queries_here, dim);
  }

  // Keys and values may be the same numbers.
  for (int r = 0; r < ROWS; r++) {
    size row = first + ty * ROWS + r;
    if (row >= keys) continue;
    for (int c = 0; c < KEY_COLUMNS; c++) {
      size column = tx + 16 * c;
      if (column < dim) add_to(d_key + of_keys + row * key_stride + column, key_sums[r][c]);
    }
    for (int c = 0; c < VALUE_COLUMNS; c++) {
      size column = tx + 16 * c;
      if (column < value_dim) add_to(d_value + of_values + row * key_stride + column, value_sums[r][c]);
    }
  }
}

// Gradients of queries. With more than one split, sums go to `partial`.
KERNEL(256) add_gradients_of_queries(const number *query, const number *key, const number *value,
                                     const unsigned char *mask, const number *d_out, const real *statistics,
                                     const real *deltas, number *d_query, real *partial, double scale, SIZES) {
  __shared__ Tiles tiles;
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  size block = blockIdx.x / blocks_of(queries), item = block / heads, head = block % heads;
  size first = blockIdx.x % blocks_of(queries) * TILE_ROWS;
  size of_queries = item * queries * heads * dim + head * dim;
  d_out += item * queries * heads * value_dim + head * value_dim;
  statistics += 2 * block * queries;
  deltas += block * queries;
  key += item * key_item + head * key_head;
  value += item * key_item + head * value_head;
  Rows query_rows = rows_of(query + of_queries, first, queries, heads * dim);
  Rows d_out_rows = rows_of(d_out, first, queries, heads * value_dim);

  real sums[ROWS][KEY_COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < KEY_COLUMNS; c++) sums[r][c] = 0;
  size start, end;
  range_of(keys, &start, &end);
#if MASK == CAUSAL
  if (end > first + TILE_ROWS + offset) end = first + TILE_ROWS + offset;
#endif
  for (; start < end; start += TILE_COLUMNS) {
    Rows keys_here = rows_of(key, start, keys, key_stride);
    real scores[ROWS][COLUMNS], products[ROWS][COLUMNS];
    multiply(scores, tiles, query_rows, keys_here, dim);
    multiply(products, tiles, d_out_rows, rows_of(value, start, keys, key_stride), value_dim);
    for (int r = 0; r < ROWS; r++) {
      for (int c = 0; c < COLUMNS; c++) {
        size row = first + ty * ROWS + r, column = start + tx + 16 * c;
        bool is_used = row < queries && column < keys;
        bool allowed = is_used && is_allowed(mask, item, row, column, queries, keys, offset);
        if (allowed) weight_of(&scores[r][c], statistics, row, true, (real)scale);
        real factor = kept(block * queries + row, column, keys, rate, seed);
        tiles.weights[ty * ROWS + r][tx + 16 * c] = allowed ? scores[r][c] * (products[r][c] * factor - deltas[row]) : 0;
      }
    }
    __syncwarp();
    add_weighted<KEY_COLUMNS>(sums, tiles, keys_here, dim);
    __syncwarp();
  }
  for (int r = 0; r < ROWS; r++) {
    size row = first + ty * ROWS + r;
    if (row >= queries) continue;
    for (int c = 0; c < KEY_COLUMNS; c++) {
      size column = tx + 16 * c;
      if (column >= dim) continue;
      size place = of_queries + row * heads * dim + column;
      if (gridDim.y > 1) partial[blockIdx.y * (gridDim.x / blocks_of(queries)) * queries * dim + place] = sums[r][c];
      else add_to(d_query + place, sums[r][c]);
    }
  }
}

KERNEL(256) add_splits(const real *partial, number *d_query, size splits, size count) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  real sum = 0;
  for (size split = 0; split < splits; split++) sum += partial[split * count + i];
  add_to(d_query + i, sum);
}
