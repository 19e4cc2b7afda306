// The step of an optimizer, for all parameters at once. They are cut into chunks, each of which a block has.

struct Chunk {
  number *parameter, *gradient, *first, *second;
  size count;
  // What multiplies the learning rate, and the weight decay.
  double rate, decay;
  // Whether the update is scaled to the parameter's norm, and which chunks that is the norm of.
  size is_scaled, first_chunk, chunks;
};

// The sum over a block, for its first thread.
__device__ __forceinline__ double block_sum(double x) {
  __shared__ double parts[8];
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_down_sync(~0u, x, distance);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int part = 1; part < 8; part++) x += parts[part];
  return x;
}

KERNEL(256) sum_squares(const Chunk *chunks, double *sums) {
  Chunk chunk = chunks[blockIdx.x];
  double sum = 0;
  for (size i = threadIdx.x; i < chunk.count; i += 256) {
    double x = load(chunk.gradient[i]);
    sum += x * x;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Replaces gradients by the next parameters, or by updates that are yet to be scaled, with the sums of their squares and
// of those of the parameters.
KERNEL(256) update(const Chunk *chunks, double *sums, double learning_rate, double first_beta, double second_beta,
                   double first_correction, double second_correction, double epsilon, double factor, double limit) {
  Chunk chunk = chunks[blockIdx.x];
  real rate = learning_rate * chunk.rate, decay = chunk.decay, kept = 1 - learning_rate * chunk.rate * chunk.decay;
  real betas[2] = {(real)first_beta, (real)second_beta};
  real rests[2] = {(real)(1 - first_beta), (real)(1 - second_beta)};
  double of_parameters = 0, of_updates = 0;
  for (size i = threadIdx.x; i < chunk.count; i += 256) {
    real x = load(chunk.parameter[i]), gradient = load(chunk.gradient[i]) * (real)factor;
    if (gradient > (real)limit) gradient = limit;
    if (gradient < -(real)limit) gradient = -limit;
    real first = load(chunk.first[i]) * betas[0] + gradient * rests[0];
    real second = load(chunk.second[i]) * betas[1] + gradient * gradient * rests[1];
    chunk.first[i] = store(first);
    chunk.second[i] = store(second);
    real step = first * (real)first_correction / (root(second) * (real)second_correction + (real)epsilon);
    if (chunk.is_scaled) {
      step += decay * x;
      of_parameters += (double)x * x;
      of_updates += (double)step * step;
      chunk.gradient[i] = store(step);
    } else {
      chunk.gradient[i] = store(x * kept - rate * step);
    }
  }
  if (!chunk.is_scaled) return;
  of_parameters = block_sum(of_parameters);
  of_updates = block_sum(of_updates);
  if (threadIdx.x == 0) {
    sums[2 * blockIdx.x] = of_parameters;
    sums[2 * blockIdx.x + 1] = of_updates;
  }
}

// Replaces updates by the next parameters.
KERNEL(256) scale(const Chunk *chunks, const double *sums, double learning_rate) {
  Chunk chunk = chunks[blockIdx.x];
  if (!chunk.is_scaled) return;
  double of_parameter = 0, of_update = 0;
  for (size i = chunk.first_chunk; i < chunk.first_chunk + chunk.chunks; i++) {
    of_parameter += sums[2 * i];
    of_update += sums[2 * i + 1];
  }
  double ratio = of_parameter > 0 && of_update > 0 ? sqrt(of_parameter / of_update) : 1;
  real rate = learning_rate * chunk.rate * ratio;
  for (size i = threadIdx.x; i < chunk.count; i += 256)
    chunk.gradient[i] = store(load(chunk.parameter[i]) - rate * load(chunk.gradient[i]));
}

// Moves the next parameters from gradients, which become 0.
KERNEL(256) finish(const Chunk *chunks) {
  Chunk chunk = chunks[blockIdx.x];
  for (size i = threadIdx.x; i < chunk.count; i += 256) {
    chunk.parameter[i] = chunk.gradient[i];
    chunk.gradient[i] = store(0);
  }
}

// Moves averages, which are where first moments are otherwise, towards parameters.
KERNEL(256) average(const Chunk *chunks, double decay) {
  Chunk chunk = chunks[blockIdx.x];
  real kept = decay, rest = 1 - decay;
  for (size i = threadIdx.x; i < chunk.count; i += 256)
    chunk.first[i] = store(load(chunk.first[i]) * kept + load(chunk.parameter[i]) * rest);
}
