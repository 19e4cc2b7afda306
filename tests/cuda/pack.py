"""Copies what cargo built: `pack.py MESSAGES_OF_CARGO CUDA_HEADERS BUNDLE`.

Executables go to BUNDLE/bin, and to BUNDLE/headers.tar.gz the headers that dfdx reads when a program runs, from the
absolute paths they have here.
"""

import json
import pathlib
import shutil
import sys
import tarfile

messages, cuda_headers, bundle = map(pathlib.Path, sys.argv[1:])
headers = [cuda_headers / "cuda_fp16.h", cuda_headers / "cuda_fp16.hpp"]
(bundle / "bin").mkdir()
for line in messages.read_text().splitlines():
    message = json.loads(line)
    if message.get("executable"):
        shutil.copy2(message["executable"], bundle / "bin" / message["target"]["name"])
    if message["reason"] == "build-script-executed" and "dfdx" in message["package_id"]:
        headers += pathlib.Path(message["out_dir"]).glob("*.cuh")
with tarfile.open(bundle / "headers.tar.gz", "w:gz") as archive:
    for header in headers:
        archive.add(header)
