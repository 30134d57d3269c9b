"""Runs searches in turn and prints medians and ratios: index.py ROUNDS TREE RG OURS…"""

import hashlib
import os
import statistics
import subprocess
import sys
import time

rounds, tree, rg, ours = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
queries = [
    ["use-after-free"],
    ["PM_RESUME"],
    ["-i", "pm_resume"],
    ["-w", "kmalloc_array"],
    [r"mutex_lock\(&\w+->lock\)"],
    ["EXPORT_SYMBOL_GPL|MODULE_LICENSE"],
    ["-l", "spin_lock_irqsave"],
    ["-c", "struct device"],
    ["nothing_has_this_name"],
    ["return"],
    [r"\w{5}\s+\w{5}\s+\w{5}\s+\w{5}\s+\w{5}"],
]


def run(command, query):
    """Time from start to end, time of the processors, and what was found, sorted."""
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(command + query + [tree], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    wall = time.perf_counter() - start
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    lines = b"\n".join(sorted(done.stdout.split(b"\n")))
    return wall, cpu, (hashlib.sha256(lines).hexdigest(), done.returncode)


print(f"{'query':<52} {'rg':>9} {'scan':>9} {'index':>9} {'rg:index':>9} {'processor, rg and index':>26}")
for query in queries:
    commands = {"rg": [rg], "scan": ours + ["--no-index"], "index": ours}
    walls, cpus, found = {n: [] for n in commands}, {n: [] for n in commands}, set()
    for _ in range(rounds):
        for name, command in commands.items():
            wall, cpu, what = run(command, query)
            walls[name].append(wall * 1000)
            cpus[name].append(cpu * 1000)
            found.add(what)
    median = {name: statistics.median(times) for name, times in walls.items()}
    cpu = {name: statistics.median(times) for name, times in cpus.items()}
    same = "" if len(found) == 1 else "  RESULTS DIFFER"
    print(
        f"{' '.join(query):<52} {median['rg']:>6.0f} ms {median['scan']:>6.0f} ms {median['index']:>6.1f} ms"
        f" {median['rg'] / median['index']:>8.1f}× {cpu['rg']:>12.0f} ms {cpu['index']:>9.1f} ms{same}",
        flush=True,
    )
