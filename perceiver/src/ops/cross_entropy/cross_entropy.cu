// A warp has a row of logits. A row without a target, which is -1, has no loss.

KERNEL(256) compare(const number *logits, const size *targets, real *losses, real *log_sums, size rows, size classes,
                    double smoothing) {
  size row = (size)blockIdx.x * 8 + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  logits += row * classes;
  real largest = LOWEST, sum = 0, weights = 0;
  for (size i = lane; i < classes; i += 32) {
    real x = load(logits[i]);
    if (x > largest) largest = x;
    sum += x;
  }
  largest = largest_of(largest, 32);
  sum = sum_of(sum, 32);
  for (size i = lane; i < classes; i += 32) weights += exponential(load(logits[i]) - largest);
  real log_sum = largest + logarithm(sum_of(weights, 32));
  if (lane != 0) return;
  log_sums[row] = log_sum;
  size target = targets[row];
  real share = (real)smoothing;
  losses[row] = target < 0 ? 0 : log_sum - (1 - share) * load(logits[target]) - share * sum / classes;
}

// The mean, by one block.
KERNEL(256) average(const real *losses, number *mean, size rows, double count) {
  real sum = 0;
  for (size i = threadIdx.x; i < rows; i += 256) sum += losses[i];
  sum = sum_of(sum_of_warps(sum), 32);
  if (threadIdx.x == 0) *mean = store(sum / (real)count);
}

KERNEL(256) add_gradient(const number *logits, const size *targets, const real *log_sums, const number *d_mean,
                         number *d_logits, size count, size classes, double smoothing, double rows) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size row = i / classes, target = targets[row];
  if (target < 0) return;
  real weight = (real)(smoothing / classes) + (i % classes == target ? (real)(1 - smoothing) : 0);
  real gradient = exponential(load(logits[i]) - log_sums[row]) - weight;
  add_to(d_logits + i, load(*d_mean) * gradient / (real)rows);
}
