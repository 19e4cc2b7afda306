// What the parts of the emulator share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>

namespace emulator {
typedef uint64_t Ptr;
struct Stream;

// CUresult.
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       INVALID_PTX = 218, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

inline long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text && *text ? atol(text) : otherwise;
}
inline std::string setting(const char *name) {
  const char *text = getenv(name);
  return text ? text : "";
}

// One lock for all: calls from several threads of a program run one after the other.
extern std::recursive_mutex everything;
#define EMULATOR_LOCK std::lock_guard<std::recursive_mutex> emulator_lock(emulator::everything)

// Counts.
enum Kind { LAUNCH, PRODUCT, TO_DEVICE, FROM_DEVICE, ON_DEVICE, BYTES_ON_DEVICE, MEMSET, ALLOCATION, FREE, SYNCHRONISATION,
            KINDS };
void count(Kind kind, const std::string &what, size_t bytes = 0);
// Says on stderr what is wrong with a call that gives an error; `fault` ends the program.
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Devices: the current thread's, or -1.
int device();

// Streams: runs `work` at once, or as late as streams and events allow.
void enqueue(Stream *stream, std::function<void()> work);
void finish(Stream *stream);
void finish_all();

// Memory: how many bytes of its block there are from here on, 0 if it is in none; whether a kernel may be given it.
size_t room(Ptr here);
bool valid(Ptr here, int device);

// Modules: resolves the includes of a source, and compiles what that gives; both give an error's text, or none.
std::string preprocess(const std::string &source, const std::string &options, std::string &out);
std::string compile(const std::string &text, std::string &library);
}  // namespace emulator
