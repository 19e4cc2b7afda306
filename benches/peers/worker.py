"""A peer, to be asked by compare.py: `worker.py PEER cpu|cuda WORKLOAD FOLDER WEIGHTS [--random]`.

It answers as this project's side does; main.rs says how. With --random, weights and input are random, and only
OpenVINO reads its network, which is the only model it can have.
"""

import json
import os
import pathlib
import sys
import time

import numpy
from workloads import WORKLOADS

THREADS = int(os.environ["OMP_NUM_THREADS"])


def torch_run(peer, device, workload, folder, x):
    import torch
    from prepare import build, given, load, stepper, targets

    torch.set_num_threads(THREADS)
    model = load(workload, folder) if folder else build(workload)
    model = model.to(device).train(workload.training)
    x = given(model, torch.from_numpy(x).to(device))
    call = torch.compile(model) if peer == "compile" else model
    # A GPU runs on after the call; a run that is timed has to be over.
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    if workload.training:
        step = stepper(call, x, targets(workload).to(device))

        def run():
            loss = step()
            wait()
            return loss.cpu().numpy()
    else:

        def run():
            with torch.inference_mode():
                return call(x).cpu().numpy()

    return run


def openvino_run(network, x, weights):
    import openvino
    from quantize import quantized

    options = dict(
        # Where products are of int8, the rest is in the precision that it is fastest in.
        INFERENCE_PRECISION_HINT="f32" if weights == "f32" else "bf16",
        PERFORMANCE_HINT="LATENCY",
        INFERENCE_NUM_THREADS=THREADS,
        NUM_STREAMS=1,
    )
    core = openvino.Core()
    network = quantized(core, network, x) if weights.startswith("int8") else core.read_model(network)
    request = core.compile_model(network, "CPU", options).create_infer_request()
    return lambda: next(iter(request.infer(x).values()))


def peak():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def check(run, expected):
    found = numpy.empty(0)
    while len(found) < len(expected):
        found = numpy.append(found, run())
    return dict(difference=float(numpy.abs(found - expected).max() / numpy.abs(expected).max()))


def timed(run, count):
    run()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return dict(ms=times, peak_mb=peak())


def release(device):
    """Gives back the GPU's memory that PyTorch keeps for later: others have their turn now."""
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()


def main(peer, device, name, folder, weights, random):
    workload = WORKLOADS[device][name]
    folder = pathlib.Path(folder)
    if random:
        numbers = numpy.random.default_rng(0)
        if workload.vocab:
            x = numbers.integers(workload.vocab, size=workload.shape)
        else:
            x = numbers.standard_normal(workload.shape, dtype=numpy.float32)
    else:
        from safetensors.numpy import load_file

        data = load_file(folder / f"{name}.io.safetensors")
        x, expected = data["input"], data["expected"]
    if peer == "openvino":
        run = openvino_run(folder / f"{name}.xml", x, weights)
    else:
        run = torch_run(peer, device, workload, None if random else folder, x)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        command, *count = line.split()
        answer = check(run, expected) if command == "check" else timed(run, int(*count))
        release(device)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:6], random="--random" in sys.argv)
