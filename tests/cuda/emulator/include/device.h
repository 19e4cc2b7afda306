// What a kernel's source sees when the emulator compiles it: CUDA's keywords, built-in variables and functions in plain
// C++. Comes before every module; after it comes one EMULATOR_KERNEL(name) for each kernel.
#pragma once
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include "module.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static  // one block runs at a time
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define assert(condition) ((condition) ? (void)0 : emulator_runtime.fault("assert(" #condition ")"))
#define __align__(n) __attribute__((aligned(n)))

static emulator::State emulator_state;
static emulator::Runtime emulator_runtime;
extern "C" emulator::State *emulator_bind(const emulator::Runtime *runtime) {
  emulator_runtime = *runtime;
  return &emulator_state;
}
static inline void __trap() { emulator_runtime.fault("__trap"); }

#define threadIdx (emulator_state.thread)
#define blockIdx (emulator_state.block)
#define blockDim (emulator_state.block_size)
#define gridDim (emulator_state.grid_size)
#define warpSize 32

static inline unsigned emulator_thread() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

template <auto f> struct emulator_call;
template <class... A, void (*f)(A...)> struct emulator_call<f> : emulator::Call {
  std::tuple<std::decay_t<A>...> arguments;

  template <size_t... i>
  emulator_call(void **p, std::index_sequence<i...>) : arguments(read<std::decay_t<A>>(p[i])...) {
    this->run = [](emulator::Call *call, emulator::Threads *threads) {
      auto &self = *static_cast<emulator_call *>(call);
      while (threads->next < threads->count) {
        threadIdx = threads->order[threads->next++];
        std::apply(f, self.arguments);
        emulator_runtime.exchange[emulator_thread()] = 0;
      }
    };
    this->drop = [](emulator::Call *call) { delete static_cast<emulator_call *>(call); };
    this->pointer = [](const emulator::Call *call, size_t index) {
      const void *all[] = {address(std::get<i>(static_cast<const emulator_call *>(call)->arguments))..., nullptr};
      return all[index];
    };
    this->count = sizeof...(A);
  }

  // As the driver does it: as many bytes as the parameter has, wherever the pointer points.
  template <class T> static T read(const void *p) {
    T value{};
    if constexpr (!std::is_empty_v<T>) memcpy((void *)&value, p, sizeof value);
    return value;
  }
  template <class T> static const void *address(const T &argument) {
    if constexpr (std::is_pointer_v<T>) return (const void *)argument;
    else return nullptr;
  }
  static emulator::Call *make(void **p) { return new emulator_call(p, std::index_sequence_for<A...>()); }
};
#define EMULATOR_KERNEL(name) \
  extern "C" emulator::Call *name##_emulated(void **p) { return emulator_call<name>::make(p); }

// Says that a function's static memory is shared, when a block first comes by.
struct emulator_shared {
  template <class T> emulator_shared(T *memory) { emulator_runtime.shared((void *)memory, sizeof *memory); }
};

// Numbers of CUDA's own, and of several elements.
template <class To, class From> static inline To emulator_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy((void *)&to, &from, sizeof to);
  return to;
}
#define EMULATOR_VECTORS(T, name) \
  struct __align__(2 * sizeof(T)) name##2 { T x, y; }; \
  struct name##3 { T x, y, z; }; \
  struct __align__(sizeof(T) < 4 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTORS(float, float)
EMULATOR_VECTORS(double, double)
EMULATOR_VECTORS(int, int)
EMULATOR_VECTORS(unsigned, uint)
EMULATOR_VECTORS(unsigned short, ushort)
EMULATOR_VECTORS(unsigned char, uchar)
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#include "warp.h"
#include "numbers.h"
