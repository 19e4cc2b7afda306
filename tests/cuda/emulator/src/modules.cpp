// Modules: what passes for PTX is C++ (kernels with their includes resolved), which g++ compiles. What it gives is kept
// beside this library, in `kernels`.
#include "emulator.h"
#include "launch.h"
#include <cstdio>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <unistd.h>

using namespace emulator;
namespace fs = std::filesystem;

namespace {
const std::string MARK = "// kernels for the emulator\n";

std::string read(const fs::path &path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// This library is HOME/lib/libcuda.so.1; emulate.sh makes the rest of HOME.
const fs::path &home() {
  static const auto &path = *new fs::path([] {
    Dl_info info;
    dladdr((void *)&home, &info);
    return fs::canonical(info.dli_fname).parent_path().parent_path();
  }());
  return path;
}

// The output of a command that fails.
std::string run(const std::string &command) {
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return "no pipe for " + command;
  std::string output = command + "\n";
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe));) output.append(buffer, n);
  return pclose(pipe) ? output : "";
}

std::string temporary() {
  static int number;
  return home() / "kernels" / (std::to_string(getpid()) + "-" + std::to_string(number++));
}

// A source as C++ in place of CUDA's own syntax, with what calls its kernels.
std::string translate(const std::string &text) {
  const std::string brackets = R"(\s*\((?:[^()]|\([^()]*\))*\)\s*)";
  const std::string align = "(?:(?:__align__|alignas)" + brackets + ")?", bounds = "(?:__launch_bounds__" + brackets + ")?";
  // Dynamic shared memory has its size when a kernel is launched, and is aligned more than anything.
  static const std::regex dynamic(R"(extern\s+)" + align + R"(__shared__\s+)" + align +
                                  R"(([\w:\s]+?)\s*(\w+)\s*\[\s*\]\s*;)");
  std::string source = std::regex_replace(text, dynamic, "$1 *$2 = ($1 *)emulator_runtime.dynamic_shared;");
  static const std::regex fixed(R"(__shared__\s+([^;,(){}]+?)(\w+)\s*((?:\[[^\]]*\]\s*)*);)");
  source = std::regex_replace(source, fixed, "static $1 $2$3; static emulator_shared $2_shared(&$2);");
  static const std::regex kernel(R"((template\s*<[^;{}()]*>\s*)?)" + bounds + R"(__global__\s+)" + bounds +
                                 R"(void\s+)" + bounds + R"((\w+)\s*\()");
  std::set<std::string> kernels;
  for (std::sregex_iterator match(source.begin(), source.end(), kernel), end; match != end; ++match)
    if (!(*match)[1].matched) kernels.insert((*match)[2].str());
  for (const std::string &name : kernels) source += "\nEMULATOR_KERNEL(" + name + ")";
  return "#include \"device.h\"\n" + source + "\n";
}
}  // namespace

std::string emulator::preprocess(const std::string &source, const std::string &options, std::string &out) {
  std::string file = temporary();
  std::ofstream(file) << source;
  std::string error = run((home() / "bin/nvcc").string() + " --ptx --output-file " + file + ".ptx " + options + " " + file);
  out = error.empty() ? read(file + ".ptx") : "";
  fs::remove(file);
  fs::remove(file + ".ptx");
  return error;
}

std::string emulator::compile(const std::string &text, std::string &library) {
  if (text.compare(0, MARK.size(), MARK)) return "this is no text of the emulator's nvcc or NVRTC";
  const fs::path source = home() / "source/include";
  static const std::string command =
      "g++ -std=c++17 -O2 -ftree-vectorize -march=native -ffp-contract=fast -fno-strict-aliasing -fno-math-errno "
      "-fwrapv -fno-threadsafe-statics -fno-gnu-unique -w -shared -fPIC -Wl,-Bsymbolic -I'" + source.string() + "' " +
      setting("EMULATOR_CXXFLAGS") + " -o ";
  static const std::string device = [&] {
    std::string all;
    for (const char *header : {"module.h", "device.h", "warp.h", "numbers.h"}) all += read(source / header);
    return all;
  }();
  std::string translated = translate(text);
  char name[32];
  snprintf(name, sizeof name, "%016zx", std::hash<std::string>()(translated + command + device));
  library = home() / "kernels" / (std::string(name) + ".so");
  if (fs::exists(library)) return "";
  std::string file = temporary();
  std::ofstream(file + ".cpp") << translated;
  std::string error = run(command + file + ".so " + file + ".cpp");
  if (!error.empty()) return error;
  fs::rename(file + ".cpp", fs::path(library).replace_extension(".cpp"));
  fs::rename(file + ".so", library);
  return "";
}

extern "C" {
// What is static in a module is shared by all that load the same text, and its library stays: each launch sets the built-in
// variables anew.
int cuModuleLoadData(Module **out, const char *text) {
  EMULATOR_LOCK;
  if (device() < 0) return INVALID_CONTEXT;
  std::string library, error = compile(text, library);
  if (!error.empty()) {
    warn("a module does not compile: %s", error.c_str());
    return INVALID_PTX;
  }
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    warn("%s", dlerror());
    return INVALID_IMAGE;
  }
  auto bind = (State * (*)(const Runtime *)) dlsym(handle, "emulator_bind");
  *out = new Module{handle, bind(&runtime), device()};
  return OK;
}
int cuModuleLoad(Module **out, const char *path) { return cuModuleLoadData(out, read(path).c_str()); }
int cuModuleUnload(Module *module) {
  EMULATOR_LOCK;
  finish_all();
  delete module;
  return OK;
}
int cuModuleGetFunction(Function **out, Module *module, const char *name) {
  EMULATOR_LOCK;
  void *make = dlsym(module->library, (std::string(name) + "_emulated").c_str());
  if (!make) return NOT_FOUND;
  *out = new Function{module, name, (Call * (*)(void **)) make};
  return OK;
}
}
