// NVRTC: a program's PTX is its source with includes resolved. A program that g++ does not compile is refused, and so is one
// with names that NVRTC does not have without a header.
#include "emulator.h"
#include <cstring>
#include <map>
#include <regex>

using namespace emulator;

namespace {
struct Program { std::string source, ptx, log; };
const int COMPILATION = 6;

std::string unknown(const std::string &text) {
  static const std::regex names(
      R"(\b(u?int(8|16|32|64)_t|uintptr_t|INFINITY|NAN|M_PI\w*|(FLT|DBL|INT|UINT)_(MAX|MIN)|std::\w+)\b)");
  std::smatch found;
  return std::regex_search(text, found, names) ? "NVRTC does not know " + found.str() + " without a header" : "";
}

std::string build(const std::string &source, const std::string &options, std::string &ptx) {
  std::string error = preprocess(source, options, ptx), library;
  if (error.empty()) error = unknown(ptx);
  if (error.empty()) error = compile(ptx, library);
  return error;
}
}  // namespace

extern "C" {
int nvrtcVersion(int *major, int *minor) { *major = 13; *minor = 0; return OK; }
const char *nvrtcGetErrorString(int error) { return error == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_SUCCESS"; }
int nvrtcCreateProgram(Program **out, const char *source, const char *, int, const char *const *, const char *const *) {
  *out = new Program{source, "", ""};
  return OK;
}
int nvrtcDestroyProgram(Program **program) {
  delete *program;
  *program = nullptr;
  return OK;
}
int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
  EMULATOR_LOCK;
  std::string all = "--nvrtc";
  for (int i = 0; i < count; i++) all += std::string(" '") + options[i] + "'";
  // Every device of a program compiles the same.
  static auto &built = *new std::map<std::string, std::string>;
  std::string &ptx = built[all + "\n" + program->source];
  if (ptx.empty()) {
    program->log = build(program->source, all, ptx);
    if (!program->log.empty()) {
      ptx.clear();
      return COMPILATION;
    }
  }
  program->ptx = ptx;
  return OK;
}
int nvrtcGetPTXSize(Program *program, size_t *out) { *out = program->ptx.size() + 1; return OK; }
int nvrtcGetPTX(Program *program, char *out) { memcpy(out, program->ptx.c_str(), program->ptx.size() + 1); return OK; }
int nvrtcGetProgramLogSize(Program *program, size_t *out) { *out = program->log.size() + 1; return OK; }
int nvrtcGetProgramLog(Program *program, char *out) { memcpy(out, program->log.c_str(), program->log.size() + 1); return OK; }
}
