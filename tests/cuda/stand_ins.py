"""Makes stand-ins for CUDA's libraries: `stand_ins.py FOLDER`. x86-64 Linux, with gcc and ar.

cudarc links programs to libcuda, libnvrtc, libcublas and libcublasLt, which a machine without a GPU does not have, and
without which a program does not even start. Each stand-in is a static library with the same symbols; a symbol looks
for the real library when it is first called, and gives an error code where there is none.
"""

import json
import pathlib
import re
import subprocess
import sys

# Name, cudarc's module, the versions of the real library, and the error code for a library that is not there:
# CUDA_ERROR_STUB_LIBRARY, NVRTC_ERROR_INTERNAL_ERROR, CUBLAS_STATUS_NOT_INITIALIZED.
LIBRARIES = [
    ("cuda", "driver", ["1"], 34),
    ("nvrtc", "nvrtc", ["13", "12"], 11),
    ("cublas", "cublas", ["13", "12"], 1),
    ("cublasLt", "cublaslt", ["13", "12"], 1),
]

FINDER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const symbols[] = {%(symbols)s};
static const char *const files[] = {%(files)s, 0};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *library;

static int missing(void) { return %(error)d; }

/* cuGetErrorString and its like. */
static int missing_text(int error, const char **text) {
  (void)error;
  *text = "lib%(name)s.so was not found, or lacks a symbol";
  return 0;
}

static void load(void) {
  for (int i = 0; !library && files[i]; i++) {
    library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    if (library && getenv("STAND_INS_VERBOSE")) fprintf(stderr, "%%s is there\\n", files[i]);
  }
  if (!library) fprintf(stderr, "%%s\\n", dlerror());
}

__attribute__((visibility("hidden"))) void *find_%(name)s(long index) {
  pthread_once(&once, load);
  void *symbol = library ? dlsym(library, symbols[index]) : 0;
  if (symbol) return symbol;
  return strstr(symbols[index], "GetError") ? (void *)missing_text : (void *)missing;
}
"""

# A slot per symbol keeps what was found for it.
SYMBOL = """
.globl %(symbol)s
.type %(symbol)s, @function
%(symbol)s:
  endbr64
  mov slots+%(offset)d(%%rip), %%r11
  test %%r11, %%r11
  jz 1f
  jmp *%%r11
1:
  mov $%(index)d, %%r11d
  jmp find
"""

# Every register that may hold an argument is kept for the real function.
INTEGERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r11"]


def find(name, count):
    save = [f"push %{register}" for register in INTEGERS] + ["sub $128, %rsp"]
    save += [f"movups %xmm{i}, {16 * i}(%rsp)" for i in range(8)]
    restore = [f"movups {16 * i}(%rsp), %xmm{i}" for i in range(8)] + ["add $128, %rsp", "pop %r10"]
    restore += ["lea slots(%rip), %r11", "mov %rax, (%r11,%r10,8)", "mov %rax, %r11"]
    restore += [f"pop %{register}" for register in reversed(INTEGERS[:-1])]
    body = ["push %rbp", "mov %rsp, %rbp", *save, "mov %r11, %rdi", f"call find_{name}", *restore, "pop %rbp"]
    return "find:\n  " + "\n  ".join(body) + f"\n  jmp *%r11\n.local slots\n.comm slots,{8 * count},16\n"


def source_of_cudarc():
    manifest = pathlib.Path(__file__).parents[2] / "Cargo.toml"
    command = ["cargo", "metadata", "--manifest-path", manifest, "--locked", "--format-version", "1", "--features", "cuda"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    return next(pathlib.Path(p["manifest_path"]).parent for p in packages if p["name"] == "cudarc")


def make(cudarc, folder, name, module, versions, error):
    declarations = (cudarc / "src" / module / "sys.rs").read_text()
    symbols = sorted(set(re.findall(r"pub fn ((?:cu|nvrtc)\w+)\s*\(", declarations)))
    files = [f"lib{name}.so.{version}" for version in versions]
    quoted = [", ".join(f'"{text}"' for text in texts) for texts in (symbols, files)]
    c, s = folder / f"{name}.c", folder / f"{name}_symbols.s"
    c.write_text(FINDER % dict(symbols=quoted[0], files=quoted[1], error=error, name=name))
    entries = [SYMBOL % dict(symbol=symbol, index=i, offset=8 * i) for i, symbol in enumerate(symbols)]
    s.write_text('.section .note.GNU-stack,"",@progbits\n.text\n' + "".join(entries) + find(name, len(symbols)))
    objects = [source.with_suffix(".o") for source in (c, s)]
    for source, target in zip((c, s), objects):
        subprocess.run(["gcc", "-O2", "-fPIC", "-c", source, "-o", target], check=True)
    archive = folder / f"lib{name}.a"
    archive.unlink(missing_ok=True)
    subprocess.run(["ar", "rcs", archive, *objects], check=True)
    print(f"{archive.name}: {len(symbols)} symbols")


if __name__ == "__main__":
    cudarc, folder = source_of_cudarc(), pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for library in LIBRARIES:
        make(cudarc, folder, *library)
