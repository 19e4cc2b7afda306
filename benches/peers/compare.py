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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def build():
    """Builds this project's side and gives the program's path."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines)
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "peers")


def available():
    """Free memory in MB."""
    with open("/proc/meminfo") as info:
        line = next(line for line in info if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024 / 1e6


def compare(name, arguments, program, environment):
    """A row of the table for each contender."""
    workload = WORKLOADS[name]

    def start(contender, memory=False):
        if contender == OURS:
            command = [program, name] if memory else [program, name, arguments.data]
        else:
            if available() < workload.peer_memory:
                raise RuntimeError(f"asks for {workload.peer_memory} MB of free memory")
            command = [sys.executable, HERE / "worker.py", contender, name, arguments.data]
            command += ["--random"] if memory else []
        return Contender(command, environment)

    contenders = [OURS] + [peer for peer in workload.peers if peer in arguments.peers]
    failed, peaks, differences, running = {}, {}, {}, {}
    for contender in contenders:
        try:
            with start(contender, memory=True) as process:
                peaks[contender] = process.ask("run 1")["peak_mb"]
            running[contender] = start(contender)
            differences[contender] = running[contender].ask("check")["difference"]
        except (RuntimeError, BrokenPipeError) as error:
            failed[contender] = str(error)
            running.pop(contender, None)

    rounds = []
    for _ in range(arguments.rounds):
        times = {}
        for contender, process in running.items():
            time.sleep(PAUSE)
            times[contender] = statistics.median(process.ask(f"run {workload.runs}")["ms"])
        rounds.append(times)
    for process in running.values():
        process.__exit__()

    for contender in contenders:
        if contender in failed:
            yield dict(workload=name, contender=contender, failed=failed[contender])
            continue
        row = dict(workload=name, contender=contender)
        row["ms"] = [times[contender] for times in rounds]
        if OURS in running:
            row["ratios"] = [times[OURS] / times[contender] for times in rounds]
        row["peak_mb"] = peaks[contender]
        row["difference"] = differences[contender]
        if contender == OURS:
            row["memory_goal"] = workload.memory_goal
        else:
            row["goal"] = workload.goals.get(contender)
        yield row


def spread(values, form):
    """Median, least and most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def cells(row):
    """A row as text."""
    if "failed" in row:
        return [row["workload"], row["contender"], row["failed"]] + [""] * 4
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
        f"{row['peak_mb']:.0f}",
        f"{row['difference']:.1e}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all without")
    parser.add_argument("--peers", nargs="*", default=["eager", "compile", "openvino"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "target" / "peers", help="folder of the weights")
    parser.add_argument("--json", type=pathlib.Path, help="also write every round to this file")
    arguments = parser.parse_args()
    for name in arguments.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload `{name}`; there are {', '.join(WORKLOADS)}")

    program = build()
    threads = str(arguments.threads)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    environment = dict(os.environ, **dict.fromkeys(variables, threads))
    head = ["workload", "contender", "ms", "ratio", "goal", "peak/MB", "difference"]
    print(f"{threads} threads, f32, {arguments.rounds} rounds: median (least to most)\n")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    # OpenVINO's way in is one that PyTorch would have replaced.
    prepare = [sys.executable, "-W", "ignore::FutureWarning", HERE / "prepare.py"]
    rows = []
    for name in arguments.workloads or WORKLOADS:
        subprocess.run(prepare + [name, arguments.data], env=environment, check=True)
        for row in compare(name, arguments, program, environment):
            rows.append(row)
            print(f"| {' | '.join(cells(row))} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
