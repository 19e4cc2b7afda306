// Launches of kernels: checks what the driver and the hardware check, and that arguments are memory of the device.
#include "launch.h"
#include "emulator.h"

using namespace emulator;

namespace {
// The limits of compute capability 9.0.
bool fits(Dim grid, Dim block, size_t shared, const Function *f) {
  return grid.x && grid.y && grid.z && grid.x <= 0x7fffffff && grid.y <= 0xffff && grid.z <= 0xffff && block.x && block.y &&
         block.z && block.x <= 1024 && block.y <= 1024 && block.z <= 64 && (uint64_t)block.x * block.y * block.z <= 1024 &&
         shared <= f->most_shared;
}
}  // namespace

extern "C" {
int cuFuncSetAttribute(Function *f, int attribute, int value) {
  EMULATOR_LOCK;
  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; others are hints.
  if (attribute == 8 && (value < 0 || value > 227 << 10)) return INVALID_VALUE;
  if (attribute == 8) f->most_shared = value;
  return OK;
}
int cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   Stream *stream, void **arguments, void **extra) {
  EMULATOR_LOCK;
  const char *name = f->name.c_str();
  Dim grid{gx, gy, gz}, block{bx, by, bz};
  if (f->module->device != device()) {
    warn("launch of %s, a kernel of device %d, on device %d", name, f->module->device, device());
    return INVALID_HANDLE;
  }
  if (!fits(grid, block, shared, f) || extra) {
    warn("launch of %s refused: grid %u %u %u, block %u %u %u, %u bytes", name, gx, gy, gz, bx, by, bz, shared);
    return INVALID_VALUE;
  }
  count(LAUNCH, f->name + " " + std::to_string((uint64_t)gx * gy * gz) + "x" + std::to_string(bx * by * bz));
  Call *call = f->make(arguments);
  for (size_t i = 0; i < call->count; i++) {
    const void *p = call->pointer(call, i);
    if (p && !valid((Ptr)p, device())) {
      warn("launch of %s: argument %zu is no memory of device %d", name, i, device());
      call->drop(call);
      return ILLEGAL_ADDRESS;
    }
  }
  enqueue(stream, [=, f = *f] {
    execute(&f, call, grid, block, shared);
    call->drop(call);
  });
  return OK;
}
}
