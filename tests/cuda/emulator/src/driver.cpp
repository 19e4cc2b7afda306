// Devices and contexts. EMULATOR_GPUS is how many GPUs there are (2), EMULATOR_MIB the memory of each.
#include "emulator.h"

using namespace emulator;

namespace {
const int MOST = 16;
char contexts[MOST];
thread_local char *current;

int gpus() {
  static const long found = std::min(setting("EMULATOR_GPUS", 2), (long)MOST);
  return found;
}

const char *text(int error) {
  switch (error) {
    case OK: return "no error";
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case INVALID_DEVICE: return "invalid device ordinal";
    case INVALID_CONTEXT: return "invalid device context";
    case INVALID_PTX: return "a PTX JIT compilation failed";
    case INVALID_HANDLE: return "invalid resource handle";
    case NOT_FOUND: return "named symbol not found";
    case ILLEGAL_ADDRESS: return "an illegal memory access was encountered";
    default: return "an error of the emulator";
  }
}
}  // namespace

int emulator::device() { return current ? current - contexts : -1; }

extern "C" {
int cuInit(unsigned) { return OK; }
int cuDriverGetVersion(int *out) { *out = 13000; return OK; }
int cuDeviceGetCount(int *out) { *out = gpus(); return OK; }
int cuDeviceGet(int *out, int ordinal) {
  *out = ordinal;
  return ordinal >= 0 && ordinal < gpus() ? OK : INVALID_DEVICE;
}
int cuDeviceGetName(char *out, int length, int) {
  snprintf(out, length, "emulated GPU");
  return OK;
}
int cuDeviceGetAttribute(int *out, int attribute, int) {
  switch (attribute) {
    case 1: *out = 1024; break;        // threads of a block
    case 8: *out = 48 << 10; break;    // shared memory of a block
    case 10: *out = 32; break;         // a warp
    case 16: *out = 132; break;        // multiprocessors
    case 75: *out = 9; break;          // compute capability, major
    case 76: *out = 0; break;          // and minor
    case 97: *out = 227 << 10; break;  // shared memory of a block that asks for more
    case 115: *out = 1; break;         // memory is allocated in the order of streams
    default: *out = 1;
  }
  return OK;
}
int cuDevicePrimaryCtxRetain(void **out, int ordinal) { *out = contexts + ordinal; return OK; }
int cuDevicePrimaryCtxRelease_v2(int) {
  EMULATOR_LOCK;
  finish_all();
  return OK;
}
int cuCtxSetCurrent(void *context) { current = (char *)context; return OK; }
int cuCtxGetCurrent(void **out) { *out = current; return OK; }
int cuGetExportTable(const void **, const void *) { return NOT_FOUND; }
int cuGetErrorString(int error, const char **out) { *out = text(error); return OK; }
int cuGetErrorName(int error, const char **out) { *out = text(error); return OK; }
}
