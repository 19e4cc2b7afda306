// What a compiled module and the emulator call each other with.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace emulator {
struct Dim { unsigned x, y, z; };

// The built-in variables.
struct State { Dim thread, block, block_size, grid_size; };

// The threads of a block that have not started yet: those of `order` from `next` on.
struct Threads { const Dim *order; unsigned count, next; };

// A launch of a kernel: its arguments, and how to run threads with them.
struct Call {
  void (*run)(Call *, Threads *);                    // runs threads until there are none left to start
  void (*drop)(Call *);
  const void *(*pointer)(const Call *, size_t index);  // an argument that is a pointer; null for others
  size_t count;                                      // of arguments
};

// What the emulator offers a module.
struct Runtime {
  void (*barrier)(unsigned lanes);     // waits for these lanes of the warp, or with 0 for the block
  void (*shared)(void *, size_t);      // says where a block's shared memory is
  void (*fault)(const char *);         // ends the program
  uint64_t *exchange;                  // a slot for each thread of a block, 0 where there is no thread or none any more
  char *dynamic_shared;
};
}  // namespace emulator
