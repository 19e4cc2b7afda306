// Tokens: the channels of the input and the features of their positions, normalised. A warp has one.

#define AXES 4

// `tables` has the features of each position along the first axis, row by row, then those along the second, and so on.
#define POSITIONS                                                                                                  \
  const real *tables, size size_0, size width_0, size size_1, size width_1, size size_2, size width_2, size size_3, \
      size width_3

struct Token {
  const number *channels;
  size channel_count;
  // Of its position along each axis.
  const real *features[AXES];
  size widths[AXES];
};

__device__ __forceinline__ real at(const Token &token, size i) {
  if (i < token.channel_count) return load(token.channels[i]);
  i -= token.channel_count;
  int axis = 0;
  while (i >= token.widths[axis]) i -= token.widths[axis++];
  return token.features[axis][i];
}

KERNEL(256) normalize_tokens(const number *channels, number *tokens, real *scales, size rows, size count,
                             size channel_count, size width, double epsilon, POSITIONS) {
  size row = (size)blockIdx.x * 8 + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  tokens += row * width;

  Token token = {channels + row * channel_count, channel_count, {}, {width_0, width_1, width_2, width_3}};
  size sizes[AXES] = {size_0, size_1, size_2, size_3}, position = row % count, end = 0;
  for (int axis = 0; axis < AXES; axis++) {
    end += sizes[axis] * token.widths[axis];
    token.features[axis] = tables + end;
  }
  for (int axis = AXES - 1; axis >= 0; axis--) {
    size along = position % sizes[axis];
    position /= sizes[axis];
    token.features[axis] += (along - sizes[axis]) * token.widths[axis];
  }

  real sum = 0;
  for (size i = lane; i < width; i += 32) sum += at(token, i);
  real mean = sum_of(sum, 32) / width, squares = 0;
  // Once more, since a row may be too wide for registers.
  for (int pass = 0; pass < 2; pass++) {
    real scale = pass == 0 ? 0 : 1 / root(sum_of(squares, 32) / width + (real)epsilon);
    for (size i = lane; i < width; i += 32) {
      real x = at(token, i) - mean;
      if (pass == 0) squares += x * x;
      else tokens[i] = store(x * scale);
    }
    if (pass == 1 && scales && lane == 0) scales[row] = scale;
  }
}

KERNEL(256) add_gradients_of_channels(const number *tokens, const real *scales, const number *d_tokens,
                                      number *d_channels, size rows, size channel_count, size width) {
  size row = (size)blockIdx.x * 8 + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  tokens += row * width;
  d_tokens += row * width;
  real sum = 0, product = 0;
  for (size i = lane; i < width; i += 32) {
    sum += load(d_tokens[i]);
    product += load(d_tokens[i]) * load(tokens[i]);
  }
  sum = sum_of(sum, 32) / width;
  product = sum_of(product, 32) / width;
  for (size i = lane; i < channel_count; i += 32)
    add_to(d_channels + row * channel_count + i, scales[row] * (load(d_tokens[i]) - sum - load(tokens[i]) * product));
}
