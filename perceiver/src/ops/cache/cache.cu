// Copies rows of each item to their places in a cache.
KERNEL(256) put(const number *rows, number *cache, size count, size of_item, size skipped, size kept, size place,
                size of_cache) {
  size i = (size)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size item = i / kept, rest = i % kept;
  cache[item * of_cache + place + rest] = rows[item * of_item + skipped + rest];
}
