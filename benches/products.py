"""PyTorch's side of `products.rs`: `products.py THREADS SECONDS`. Reads sizes and prints rates."""

import sys
import time

try:
    import torch
except ImportError:
    sys.exit("no PyTorch")

torch.set_num_threads(int(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    rows, outputs, inputs = map(int, line.split())
    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    fastest, begin = float("inf"), time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - begin < float(sys.argv[2]):
            start = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            fastest = min(fastest, time.perf_counter() - start)
    print(2 * rows * outputs * inputs / fastest / 1e9, flush=True)
