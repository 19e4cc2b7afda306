// Runs the threads of a kernel. A block's threads start one after the other on a stack, which the next thread takes over if
// the last one ended without waiting; a barrier puts the stack aside until all wait. So kernels without barriers cost a call
// for each thread, and barriers a switch of stacks.
//
// EMULATOR_ORDER is the order of blocks, and of threads in a block: forward, reverse, or random:SEED. A GPU promises none.
#include "emulator.h"
#include "launch.h"
#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <numeric>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#if !defined(__x86_64__)
#error "the switch of stacks is written for x86-64"
#endif

using namespace emulator;

// Keeps the registers that a call has to keep, and the stack, in `save`, and goes on where `load` was kept.
extern "C" void emulator_switch(void **save, void *load);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");

namespace {
struct Fiber {
  void *sp;
  Dim at = {};         // its thread's place in the block
  bool waits = false;
  unsigned lanes = 0;  // of the warp, for which it waits, or 0 for the block
};
struct Shared { void *memory; size_t size; };

// Fibers that were made; the first `busy` have threads of this block.
auto &fibers = *new std::vector<Fiber *>;
size_t busy, for_lanes;  // `for_lanes` of them wait for lanes
void *scheduler;
Fiber *current;
State *state;
Call *kernel;
Threads threads;
const char *name = "";
auto &shared = *new std::map<State *, std::vector<Shared>>;  // by module
uint64_t exchange[1024];
alignas(256) char dynamic_shared[227 << 10];

void body() {
  for (;;) {
    kernel->run(kernel, &threads);
    current->waits = false;
    emulator_switch(&current->sp, scheduler);
  }
}

Fiber *fresh() {
  if (busy == fibers.size()) {
    const size_t STACK = 256 << 10;
    void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) fault("no stack for a thread");
    // Stacks that begin at the same place of a page would all share few lines of the cache.
    void **sp = (void **)((char *)stack + STACK - fibers.size() % 256 * 256);
    *--sp = nullptr;  // `body` never returns; keeps the stack aligned as after a call
    *--sp = (void *)body;
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    fibers.push_back(new Fiber{sp});
  }
  return fibers[busy++];
}

void resume(Fiber *fiber) {
  state->thread = fiber->at;
  for_lanes -= fiber->lanes != 0;
  current = fiber;
  fiber->waits = false;
  fiber->lanes = 0;
  emulator_switch(&scheduler, fiber->sp);
}

void barrier(unsigned lanes) {
  current->at = state->thread;
  current->waits = true;
  current->lanes = lanes;
  for_lanes += lanes != 0;
  emulator_switch(&current->sp, scheduler);
}

unsigned number(const Fiber *fiber) {
  const Dim &size = state->block_size, &at = fiber->at;
  return at.x + size.x * (at.y + size.y * at.z);
}

// Those that need not wait any longer, where some wait for lanes of their warp.
void find_ready(const std::vector<Fiber *> &waiting, std::vector<Fiber *> &ready) {
  unsigned alive[32] = {}, at_barrier[32] = {};
  for (Fiber *fiber : waiting) {
    unsigned thread = number(fiber), bit = 1u << thread % 32;
    alive[thread / 32] |= bit;
    if (fiber->lanes) at_barrier[thread / 32] |= bit;
  }
  ready.clear();
  for (Fiber *fiber : waiting) {
    unsigned warp = number(fiber) / 32;
    if (fiber->lanes && !(fiber->lanes & alive[warp] & ~at_barrier[warp])) ready.push_back(fiber);
  }
  if (ready.empty()) fault("%s: threads of a block wait for each other at different barriers", name);
}

// A barrier is for the threads that have not ended, as since Volta.
void finish_waiting() {
  static auto &waiting = *new std::vector<Fiber *>, &ready = *new std::vector<Fiber *>;
  waiting.assign(fibers.begin(), fibers.begin() + busy);
  while (!waiting.empty()) {
    if (for_lanes) find_ready(waiting, ready);
    for (Fiber *fiber : for_lanes ? ready : waiting) resume(fiber);
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(), [](Fiber *fiber) { return !fiber->waits; }), waiting.end());
  }
}

void run_block() {
  threads.next = busy = 0;
  while (threads.next < threads.count) resume(fresh());
  // The last one may have ended after it had started all that were left.
  if (busy && !fibers[busy - 1]->waits) busy--;
  if (busy) finish_waiting();
}

// The numbers below `count`, in the order that is set.
void order(std::vector<unsigned> &numbers, unsigned count) {
  static const std::string how = setting("EMULATOR_ORDER");
  static uint64_t seed = how.compare(0, 7, "random:") ? 0 : 2 * strtoull(how.c_str() + 7, nullptr, 10) + 1;
  if (numbers.size() == count && !seed) return;
  numbers.resize(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  if (how == "reverse") std::reverse(numbers.begin(), numbers.end());
  for (unsigned i = count; seed && i > 1; i--) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    std::swap(numbers[i - 1], numbers[(seed >> 33) % i]);
  }
}

void add_shared(void *memory, size_t size) {
  shared[state].push_back({memory, size});
  memset(memory, 0xff, size);
}

void ended(const char *text) { fault("%s: %s", name, text); }

void crashed(int) {
  for (const char *text : {"emulator: ", name, " touches memory that it was not given\n"})
    if (write(2, text, strlen(text)) < 0) break;
  _exit(139);
}
}  // namespace

namespace emulator {
extern const Runtime runtime;
const Runtime runtime = {barrier, add_shared, ended, exchange, dynamic_shared};

void execute(const Function *f, Call *call, Dim grid, Dim block, size_t dynamic) {
  static auto &of_blocks = *new std::vector<unsigned>, &of_threads = *new std::vector<unsigned>;
  static auto &places = *new std::vector<Dim>;
  state = f->module->state;
  state->grid_size = grid;
  state->block_size = block;
  kernel = call;
  name = f->name.c_str();
  order(of_blocks, grid.x * grid.y * grid.z);
  order(of_threads, block.x * block.y * block.z);
  places.clear();
  for (unsigned t : of_threads) places.push_back({t % block.x, t / block.x % block.y, t / block.x / block.y});
  threads = {places.data(), (unsigned)places.size(), 0};
  memset(exchange, 0, sizeof exchange);
  struct sigaction before, now = {};
  now.sa_handler = crashed;
  sigaction(SIGSEGV, &now, &before);
  for (unsigned b : of_blocks) {
    state->block = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    // A block finds whatever was there before: NaN.
    memset(dynamic_shared, 0xff, dynamic);
    for (auto [memory, size] : shared[state]) memset(memory, 0xff, size);
    run_block();
  }
  sigaction(SIGSEGV, &before, nullptr);
}
}  // namespace emulator
