"""Compiles the library's kernels with NVIDIA's own compilers: `kernels.py [FOLDER]`. Needs no GPU.

FOLDER, by default `target/cuda/compilers`, gets NVRTC and ptxas from NVIDIA's packages on PyPI, unless it has them. Each
source is compiled as the library does it when it runs, for each data type and for several constants, and then assembled for a
GPU. Prints the registers of each kernel, and the bytes that it moves to memory for lack of them.
"""

import ctypes
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPS = ROOT / "perceiver/src/ops"
PACKAGES = ["nvidia-cuda-nvrtc==13.0.*", "nvidia-cuda-nvcc==13.0.*"]
GPU = "sm_90"


def attention(mask, dropout, rows, columns):
    sizes = {"ROWS": rows, "KEY_COLUMNS": columns, "VALUE_COLUMNS": columns}
    return {**sizes, "MASK": mask, "DROPOUT": dropout}


CONSTANTS = {
    "attention": [attention(mask, 0, 2, 4) for mask in range(5)]
    + [attention(0, 1, 2, 8), attention(0, 0, 1, 16), attention(0, 0, 1, 64)],
    "feed_forward": [{"ACTIVATION": number} for number in range(5)],
    "residual": [{"DROPOUT": 0}, {"DROPOUT": 1}],
}


def compilers(folder):
    if not list(folder.glob("**/libnvrtc.so.13")):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "--target", str(folder), *PACKAGES], check=True)
    library = next(folder.glob("**/libnvrtc.so.13"))
    ctypes.CDLL(str(next(folder.glob("**/libnvrtc-builtins.so.13*"))), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(library)), next(folder.glob("**/ptxas"))


def compiled(nvrtc, text):
    program, length = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), None, 0, None, None)
    # No options, as in the library.
    failed = nvrtc.nvrtcCompileProgram(program, 0, None)
    size = "nvrtcGetProgramLogSize" if failed else "nvrtcGetPTXSize"
    get = "nvrtcGetProgramLog" if failed else "nvrtcGetPTX"
    getattr(nvrtc, size)(program, ctypes.byref(length))
    result = ctypes.create_string_buffer(length.value)
    getattr(nvrtc, get)(program, result)
    if failed:
        sys.exit(f"NVRTC:\n{result.value.decode()}")
    return result.value


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/cuda/compilers")
    nvrtc, ptxas = compilers(folder)
    common = (OPS / "cuda/common.cuh").read_text()
    sources = sorted(OPS.glob("**/*.cu"))
    for source, number in itertools.product(sources, ["", "IN_F64", "IN_F16"]):
        for constants in CONSTANTS.get(source.stem, [{}]):
            lines = [f"#define {number}"] if number else []
            lines += [f"#define {name} {value}" for name, value in constants.items()]
            ptx = compiled(nvrtc, "\n".join([*lines, common, source.read_text()]))
            with tempfile.NamedTemporaryFile(suffix=".ptx") as file:
                file.write(ptx)
                file.flush()
                command = [str(ptxas), f"-arch={GPU}", "-v", "-o", "/dev/null", file.name]
                said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode:
                sys.exit(said.stderr)
            pattern = r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers"
            for kernel, spilled, registers in re.findall(pattern, said.stderr, re.S):
                spill = f", {spilled} bytes spilled" if spilled != "0" else ""
                settings = " ".join(str(value) for value in constants.values())
                print(f"{source.stem} {number or 'IN_F32'} {settings}: {kernel}: {registers}{spill}")


main()
