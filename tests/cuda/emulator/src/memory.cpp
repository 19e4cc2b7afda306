// Device memory is the host's, EMULATOR_MIB of it (8192) for each GPU. Fresh memory is NaN in every type (EMULATOR_NAN=0:
// not), and what follows a block must not change. With EMULATOR_GUARD=1 blocks lie between pages that must not be touched.
#include "emulator.h"
#include <cstring>
#include <map>
#include <sys/mman.h>

using namespace emulator;

namespace {
// `length` bytes from `mapped` on were mapped for this block, or none.
struct Block { size_t size, padded; int device; char *mapped; size_t length; };
auto &blocks = *new std::map<Ptr, Block>;
size_t used[16];
const size_t PAGE = 4096;

size_t up(size_t size, size_t to) { return (size + to - 1) / to * to; }

bool guard() {
  static const bool set = setting("EMULATOR_GUARD", 0);
  return set;
}

bool changed(Ptr start, const Block &block) {
  for (size_t i = block.size; i < block.padded; i++)
    if (((unsigned char *)start)[i] != 0xff) return true;
  return false;
}

int allocate(Ptr *out, size_t size, bool async) {
  EMULATOR_LOCK;
  if (device() < 0) return INVALID_CONTEXT;
  *out = 0;
  // As the driver: cuMemAlloc refuses 0 bytes, the stream-ordered one gives a null pointer.
  if (!size) return async ? OK : INVALID_VALUE;
  // 512 bytes are the driver's granularity.
  static const size_t capacity = (size_t)setting("EMULATOR_MIB", 8192) << 20;
  if (used[device()] + up(size, 512) > capacity) return OUT_OF_MEMORY;
  // What a kernel may access at once is aligned, so up to 16 bytes lie before a page.
  Block block{size, guard() ? up(size, 16) : up(size + 16, 256), device(), nullptr, 0};
  if (guard() || size >= 1 << 16) {
    size_t pages = up(block.padded, PAGE);
    block.length = pages + 2 * PAGE;
    void *mapped = mmap(nullptr, block.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return OUT_OF_MEMORY;
    block.mapped = (char *)mapped;
    if (guard()) {
      mprotect(block.mapped, PAGE, PROT_NONE);
      mprotect(block.mapped + PAGE + pages, PAGE, PROT_NONE);
    }
    *out = (Ptr)block.mapped + PAGE + (guard() ? pages - block.padded : 0);
  } else {
    *out = (Ptr)aligned_alloc(256, block.padded);
  }
  static const bool nan = setting("EMULATOR_NAN", 1);
  // Very large blocks are made to fill the memory, not to be read.
  if (nan && size <= 1 << 30) memset((void *)*out, 0xff, size);
  memset((char *)*out + size, 0xff, block.padded - size);
  blocks[*out] = block;
  used[block.device] += up(size, 512);
  count(ALLOCATION, "", size);
  return OK;
}

int release(Ptr start) {
  EMULATOR_LOCK;
  if (!start) return OK;
  auto found = blocks.find(start);
  if (found == blocks.end()) {
    warn("free of %#lx, which is not allocated", start);
    return INVALID_VALUE;
  }
  const Block &block = found->second;
  if (changed(start, block)) fault("something wrote beyond the end of a block of %zu bytes", block.size);
  used[block.device] -= up(block.size, 512);
  count(FREE, "", block.size);
  if (block.mapped) {
    munmap(block.mapped, block.length);
  } else {
    memset((void *)start, 0xff, block.size);
    free((void *)start);
  }
  blocks.erase(found);
  return OK;
}

bool fits(Ptr start, size_t n, const char *what) {
  if (!n || room(start) >= n) return true;
  warn("%s of %zu bytes where there are %zu", what, n, room(start));
  return false;
}

void fill(Ptr start, unsigned char value, size_t n) {
  // Zeros without touching the pages: tests fill the whole memory.
  Ptr first = up(start, PAGE), last = (start + n) / PAGE * PAGE;
  if (value || n < (size_t)64 << 20 || madvise((void *)first, last - first, MADV_DONTNEED)) {
    memset((void *)start, value, n);
  } else {
    memset((void *)start, 0, first - start);
    memset((void *)last, 0, start + n - last);
  }
}

int to_device(Ptr to, const void *from, size_t n, Stream *stream, bool wait) {
  EMULATOR_LOCK;
  if (!fits(to, n, "copy to the device")) return INVALID_VALUE;
  count(TO_DEVICE, wait ? "waits" : "", n);
  // Memory of the host that is not pinned is read before the call returns.
  std::string staged((const char *)from, n);
  enqueue(stream, [=] { memcpy((void *)to, staged.data(), n); });
  if (wait) finish(stream);
  return OK;
}

int from_device(void *to, Ptr from, size_t n, Stream *stream) {
  EMULATOR_LOCK;
  if (!fits(from, n, "copy from the device")) return INVALID_VALUE;
  count(FROM_DEVICE, "", n);
  // To memory of the host that is not pinned, a copy is done when the call returns.
  finish(stream);
  memcpy(to, (void *)from, n);
  return OK;
}

int on_device(Ptr to, Ptr from, size_t n, Stream *stream) {
  EMULATOR_LOCK;
  if (!fits(to, n, "copy") || !fits(from, n, "copy")) return INVALID_VALUE;
  count(ON_DEVICE, "", n);
  enqueue(stream, [=] { memmove((void *)to, (void *)from, n); });
  return OK;
}

int set(Ptr to, unsigned char value, size_t n, Stream *stream) {
  EMULATOR_LOCK;
  if (!fits(to, n, "memset")) return INVALID_VALUE;
  count(MEMSET, "", n);
  if (n) enqueue(stream, [=] { fill(to, value, n); });
  return OK;
}
}  // namespace

size_t emulator::room(Ptr here) {
  auto after = blocks.upper_bound(here);
  if (after == blocks.begin()) return 0;
  auto &[start, block] = *--after;
  return here - start < block.size ? block.size - (here - start) : 0;
}

// Of a block on the device, or right behind one: a view of no elements.
bool emulator::valid(Ptr here, int device) {
  auto after = blocks.upper_bound(here);
  if (after == blocks.begin()) return false;
  auto &[start, block] = *--after;
  return here - start <= block.size && block.device == device;
}

extern "C" {
int cuMemAlloc_v2(Ptr *out, size_t size) { return allocate(out, size, false); }
int cuMemAllocAsync(Ptr *out, size_t size, Stream *) { return allocate(out, size, true); }
int cuMemFree_v2(Ptr start) {
  EMULATOR_LOCK;
  finish_all();
  return release(start);
}
int cuMemFreeAsync(Ptr start, Stream *stream) {
  EMULATOR_LOCK;
  enqueue(stream, [=] { release(start); });
  return OK;
}
int cuMemcpyHtoD_v2(Ptr to, const void *from, size_t n) { return to_device(to, from, n, nullptr, true); }
int cuMemcpyHtoDAsync_v2(Ptr to, const void *from, size_t n, Stream *s) { return to_device(to, from, n, s, false); }
int cuMemcpyDtoH_v2(void *to, Ptr from, size_t n) { return from_device(to, from, n, nullptr); }
int cuMemcpyDtoHAsync_v2(void *to, Ptr from, size_t n, Stream *s) { return from_device(to, from, n, s); }
int cuMemcpyDtoD_v2(Ptr to, Ptr from, size_t n) { return on_device(to, from, n, nullptr); }
int cuMemcpyDtoDAsync_v2(Ptr to, Ptr from, size_t n, Stream *s) { return on_device(to, from, n, s); }
int cuMemsetD8_v2(Ptr to, unsigned char value, size_t n) { return set(to, value, n, nullptr); }
int cuMemsetD8Async(Ptr to, unsigned char value, size_t n, Stream *s) { return set(to, value, n, s); }
}
