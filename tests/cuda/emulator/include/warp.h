// Barriers, exchange within a warp, and atomics.
#pragma once

static inline void __syncthreads() { emulator_runtime.barrier(0); }
static inline void __syncwarp(unsigned lanes = ~0u) { emulator_runtime.barrier(lanes); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// Every lane shows a value; `take` reads those of its warp.
template <class T, class F> auto emulator_exchange(unsigned lanes, T value, F take) {
  static_assert(sizeof(T) <= 8);
  unsigned thread = emulator_thread();
  if (!(lanes >> (thread & 31) & 1)) emulator_runtime.fault("a lane takes part in an exchange that is not its own");
  memcpy(emulator_runtime.exchange + thread, &value, sizeof value);
  __syncwarp(lanes);
  auto taken = take(emulator_runtime.exchange + (thread & ~31u));
  __syncwarp(lanes);
  return taken;
}
template <class T> T emulator_shuffle(unsigned lanes, T value, unsigned lane) {
  if (!(lanes >> lane & 1)) emulator_runtime.fault("a shuffle takes the value of a lane that is not part of it");
  return emulator_exchange(lanes, value, [&](const uint64_t *warp) {
    T taken;
    memcpy((void *)&taken, warp + lane, sizeof taken);
    return taken;
  });
}
static inline unsigned emulator_lane() { return emulator_thread() & 31; }
// `width` lanes are a warp of their own; a lane beyond them is the thread's own.
template <class T> T __shfl_sync(unsigned lanes, T value, int lane, int width = 32) {
  return emulator_shuffle(lanes, value, (emulator_lane() & ~(width - 1)) | (lane & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned lanes, T value, int mask, int width = 32) {
  unsigned self = emulator_lane(), other = self ^ mask;
  return emulator_shuffle(lanes, value, other > (self | (width - 1)) ? self : other);
}
template <class T> T __shfl_down_sync(unsigned lanes, T value, unsigned delta, int width = 32) {
  unsigned self = emulator_lane();
  return emulator_shuffle(lanes, value, (self & (width - 1)) + delta < (unsigned)width ? self + delta : self);
}
template <class T> T __shfl_up_sync(unsigned lanes, T value, unsigned delta, int width = 32) {
  unsigned self = emulator_lane();
  return emulator_shuffle(lanes, value, (self & (width - 1)) >= delta ? self - delta : self);
}
static inline unsigned __ballot_sync(unsigned lanes, int predicate) {
  return emulator_exchange(lanes, (uint64_t)(predicate != 0), [&](const uint64_t *warp) {
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++) ballot |= (lanes >> lane & 1 && warp[lane]) << lane;
    return ballot;
  });
}
static inline int __any_sync(unsigned lanes, int predicate) { return __ballot_sync(lanes, predicate) != 0; }
static inline int __all_sync(unsigned lanes, int predicate) { return !__ballot_sync(lanes, !predicate); }

// One thread runs at a time, so a plain read and write is atomic.
template <class T, class F> static inline T emulator_atomic(T *address, F f) {
  T old = *address;
  *address = f(old);
  return old;
}
#define EMULATOR_ATOMIC(name, result) \
  template <class T> T atomic##name(T *p, std::common_type_t<T> v) { \
    return emulator_atomic(p, [&](T x) { return T(result); }); \
  }
EMULATOR_ATOMIC(Add, x + v)
EMULATOR_ATOMIC(Sub, x - v)
EMULATOR_ATOMIC(Min, v < x ? v : x)
EMULATOR_ATOMIC(Max, v > x ? v : x)
EMULATOR_ATOMIC(And, x & v)
EMULATOR_ATOMIC(Or, x | v)
EMULATOR_ATOMIC(Xor, x ^ v)
EMULATOR_ATOMIC(Exch, v)
template <class T> T atomicCAS(T *p, std::common_type_t<T> compare, std::common_type_t<T> v) {
  return emulator_atomic(p, [&](T x) { return x == compare ? v : x; });
}
