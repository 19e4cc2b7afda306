"""Compares this project with PyTorch and OpenVINO, all in one run; benches/README.md says how to call it.

For each workload every contender is a process. They take turns, round after round, so that whatever else the machine
does meets all of them; a ratio is this project's time by a peer's in the same round, and the median of the rounds is
reported. Peaks of memory come from processes of their own, with one workload each and random weights, since reading a
checkpoint takes memory too.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from workloads import WORKLOADS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "perceiver"
# Threads of the one before may still spin, waiting for work.
PAUSE = 0.1
# Of all cores' time, what may go to other processes in a turn. Threads that wait for each other lose far more than
# that share, and not every contender loses the same.
ELSEWHERE = 0.03
TICKS = os.sysconf("SC_CLK_TCK")


class Contender:
    """A process that answers a line of JSON to each line."""

    def __init__(self, command, environment):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        return self.answer()

    def processor_time(self):
        """Seconds that all its threads ran."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def build(device):
    """Builds this project's side and gives the program's path."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    command += ["--features", "cuda"] if device == "cuda" else []
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines)
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "peers")


def describe(arguments):
    """What everything runs on."""
    if arguments.device == "cpu":
        return f"{arguments.threads} threads"
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "a GPU"
    name, driver = found[0].split(", ")
    return f"{name}, driver {driver}"


def available():
    """Free memory in MB."""
    with open("/proc/meminfo") as info:
        line = next(line for line in info if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024 / 1e6


def processor_time():
    """Seconds that all cores were busy, or taken by another guest of the host."""
    user, nice, system, _, _, irq, soft, steal = pathlib.Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, irq, soft, steal))) / TICKS


def turn(contender, runs):
    """The median time of a contender's turn, and the share of all cores' time that went elsewhere meanwhile."""
    time.sleep(PAUSE)
    start, everywhere, here = time.perf_counter(), processor_time(), contender.processor_time()
    ms = statistics.median(contender.ask(f"run {runs}")["ms"])
    elsewhere = processor_time() - everywhere - (contender.processor_time() - here)
    wall = time.perf_counter() - start
    return ms, max(0.0, elsewhere / (wall * os.cpu_count()))


def compare(name, arguments, program, environment):
    """A row of the table for each contender."""
    device = arguments.device
    workload = WORKLOADS[device][name]

    def start(contender, memory=False):
        if contender == OURS:
            ours = name if arguments.weights == "f32" else f"{name}:{arguments.weights}"
            command = [program, ours] if memory else [program, ours, arguments.data]
        else:
            if available() < workload.peer_memory:
                raise RuntimeError(f"asks for {workload.peer_memory} MB of free memory")
            command = [sys.executable, HERE / "worker.py", contender, device, name, arguments.data, arguments.weights]
            command += ["--random"] if memory else []
        return Contender(command, environment)

    contenders = [OURS] + [peer for peer in workload.peers if peer in arguments.peers]
    failed, peaks, differences, running = {}, {}, {}, {}
    for contender in contenders:
        try:
            # Of a GPU's memory a process sees only what its own library took.
            if device == "cpu":
                with start(contender, memory=True) as process:
                    peaks[contender] = process.ask("run 1")["peak_mb"]
            running[contender] = start(contender)
            differences[contender] = running[contender].ask("check")["difference"]
        except (RuntimeError, BrokenPipeError) as error:
            failed[contender] = str(error)
            running.pop(contender, None)

    rounds = [
        {contender: turn(process, workload.runs) for contender, process in running.items()}
        for _ in range(arguments.rounds)
    ]
    for process in running.values():
        process.__exit__()

    for contender in contenders:
        if contender in failed:
            yield dict(workload=name, contender=contender, failed=failed[contender])
            continue
        row = dict(workload=name, contender=contender)
        row["ms"] = [turns[contender][0] for turns in rounds]
        row["elsewhere"] = statistics.median(turns[contender][1] for turns in rounds)
        if OURS in running:
            row["ratios"] = [turns[OURS][0] / turns[contender][0] for turns in rounds]
        row["peak_mb"] = peaks.get(contender)
        row["difference"] = differences[contender]
        if contender == OURS:
            row["memory_goal"] = workload.memory_goal
        else:
            rounded = {"openvino": 1.0}
            row["goal"] = (workload.goals if arguments.weights == "f32" else rounded).get(contender)
        yield row


def spread(values, form):
    """Median, least and most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def cells(row):
    """A row as text."""
    if "failed" in row:
        return [row["workload"], row["contender"], row["failed"]] + [""] * 5
    ratio = spread(row["ratios"], ".2f") if "ratios" in row and row["contender"] != OURS else ""
    goal = f"≤ {row['goal']:.2f}" if row.get("goal") else ""
    if row.get("memory_goal"):
        goal = f"≤ {row['memory_goal']} MB"
    return [
        row["workload"],
        row["contender"],
        spread(row["ms"], ".1f"),
        ratio,
        goal,
        f"{row['peak_mb']:.0f}" if row["peak_mb"] else "",
        f"{row['difference']:.1e}",
        f"{row['elsewhere']:.0%}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="all of the device's without")
    parser.add_argument("--device", choices=WORKLOADS, default="cpu")
    parser.add_argument("--program", type=pathlib.Path, help="this project's side, if it is built already")
    parser.add_argument("--peers", nargs="*", default=["eager", "compile", "openvino"])
    parser.add_argument(
        "--weights",
        choices=["f32", "bf16", "int8", "int8-dynamic"],
        default="f32",
        help="in which weights are stored for inference; OpenVINO then computes in bf16, or multiplies int8",
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "target" / "peers", help="folder of the weights")
    parser.add_argument("--json", type=pathlib.Path, help="also write every round to this file")
    arguments = parser.parse_args()
    workloads = WORKLOADS[arguments.device]
    for name in arguments.workloads:
        if name not in workloads:
            parser.error(f"there is no workload `{name}`; there are {', '.join(workloads)}")

    program = arguments.program or build(arguments.device)
    threads = str(arguments.threads)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    environment = dict(os.environ, **dict.fromkeys(variables, threads))
    head = ["workload", "contender", "ms", "ratio", "goal", "peak/MB", "difference", "elsewhere"]
    print(f"{describe(arguments)}, weights in {arguments.weights}, {arguments.rounds} rounds: median (least to most)\n")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    # OpenVINO's way in is one that PyTorch would have replaced.
    prepare = [sys.executable, "-W", "ignore::FutureWarning", HERE / "prepare.py"]
    rows = []
    for name in arguments.workloads or workloads:
        subprocess.run(prepare + [arguments.device, name, arguments.data], env=environment, check=True)
        for row in compare(name, arguments, program, environment):
            rows.append(row)
            print(f"| {' | '.join(cells(row))} |", flush=True)
    disturbed = sorted({row["workload"] for row in rows if row.get("elsewhere", 0.0) > ELSEWHERE})
    if disturbed:
        print(f"\nNot to be reported, other processes ran meanwhile: {', '.join(disturbed)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
