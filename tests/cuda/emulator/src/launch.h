// Modules, and what the launches of their kernels need.
#pragma once
#include "../include/module.h"
#include <string>

namespace emulator {
struct Module { void *library; State *state; int device; };
struct Function {
  Module *module;
  std::string name;
  Call *(*make)(void **);
  size_t most_shared = 48 << 10;  // bytes of dynamic shared memory
};
extern const Runtime runtime;
// Runs a grid (threads.cpp).
void execute(const Function *f, Call *call, Dim grid, Dim block, size_t shared);
}  // namespace emulator
