// Counts what a program does: `emulator_counts` gives the sums, one for each `Kind`, and the file EMULATOR_TRACE every call.
#include "emulator.h"
#include <cstdarg>
#include <cstdio>
#include <cstring>

using namespace emulator;

namespace {
uint64_t counts[KINDS];
const char *const NAMES[KINDS] = {"launch",       "product", "to device", "from device", "on device",
                                  "",             "memset",  "allocation", "free",       "synchronisation"};

void say(const char *format, va_list arguments) {
  fprintf(stderr, "emulator: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
}
}  // namespace

void emulator::count(Kind kind, const std::string &what, size_t bytes) {
  static FILE *const trace = setting("EMULATOR_TRACE").empty() ? nullptr : fopen(setting("EMULATOR_TRACE").c_str(), "w");
  counts[kind]++;
  if (kind == ON_DEVICE) counts[BYTES_ON_DEVICE] += bytes;
  if (trace) fprintf(trace, "%s\t%s\t%zu\n", NAMES[kind], what.c_str(), bytes);
}

void emulator::warn(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say(format, arguments);
  va_end(arguments);
}

void emulator::fault(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say(format, arguments);
  va_end(arguments);
  abort();
}

extern "C" void emulator_counts(uint64_t *out) {
  EMULATOR_LOCK;
  memcpy(out, counts, sizeof counts);
}
