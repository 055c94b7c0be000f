"""What a pod costs: start to ready, and each command over the command itself, beside `docker exec`.

    python benchmarks/pod.py [--runs N]

Needs a container engine; the first run builds two small images. Figures are medians.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable

from bedev.sandboxes.docker_engine import engine
from bedev.sandboxes.docker_pod import DockerSandbox, docker_engine_status
from bedev.sandboxes.docker_volumes import TREE_KIND, drop
from bedev.sandboxes.sandbox import HostAccess, ImageSpec, PodSpec, TreeFile

BASE = "debian:trixie-slim"


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def median_ms(action: Callable[[], object], runs: int) -> float:
    return statistics.median(seconds(action) for _ in range(runs)) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="commands of each kind (default 50)")
    runs: int = parser.parse_args().runs

    def say(line: str) -> None:
        sys.stderr.write(f"  {line}\n")

    sandbox = DockerSandbox("benchmark")
    tree = f"benchmark-{time.time_ns()}"
    try:
        image = sandbox.ensure_image(ImageSpec(BASE, packages=("python3",)), say)
        # 5000 files of 10 kB, like a small application with its dependencies.
        files = [TreeFile(f"d{n % 50}/f{n}.php", 0o100644, b"x" * 10_000) for n in range(5000)]
        prepared = seconds(lambda: sandbox.prepare_tree(tree, lambda: files, image, (), HostAccess(), say))
        starts, ends = [], []
        for with_database in (False, True):
            times = []
            for _ in range(5):
                spec = PodSpec(app_image=image, tree=tree, db_image=image if with_database else None)
                began = time.perf_counter()
                pod = sandbox.open_pod(spec, say)
                times.append(time.perf_counter() - began)
                ends.append(seconds(pod.close))
            starts.append(statistics.median(times))

        pod = sandbox.open_pod(PodSpec(app_image=image, tree=tree), say)
        client, container = engine(), pod.app.container.id

        def docker_exec() -> None:
            made = client.exec_create(container, ["bash", "-c", "true"], user="10001:10001")
            client.exec_start(made["Id"])

        # What the command itself costs: the same fresh bash, timed by a program in the box.
        program = (
            "import subprocess, time, statistics\n"
            "def once():\n"
            "    t = time.perf_counter(); subprocess.run(['bash', '-c', 'true'])\n"
            "    return time.perf_counter() - t\n"
            f"print(statistics.median(once() for _ in range({runs})) * 1000)"
        )
        itself = float(pod.app.run("python3 -", stdin=program.encode()).stdout.text)
        pod.app.run("true")
        trivial = median_ms(lambda: pod.app.run("true"), runs)
        executed = median_ms(docker_exec, max(5, runs // 5))
        content = b"x" * 4000
        write = median_ms(lambda: pod.app.write_file("/work/small", content), runs)
        read = median_ms(lambda: pod.app.read_file("/work/small"), runs)
        large = b"y" * (10 << 20)
        write_large = median_ms(lambda: pod.app.write_file("/work/large", large), 3)
        read_large = median_ms(lambda: pod.app.read_file("/work/large"), 3)
        ask = median_ms(lambda: pod.probe.wait_for_port(1, 0), runs)
        pod.close()
    finally:
        sandbox.close()
        drop(TREE_KIND, tree)

    status = docker_engine_status()
    lines = [f"{status.message}, {status.cpus} CPUs, Python {platform.python_version()}"]
    for title, value, unit in (
        ("prepare a tree (5000 files, 50 MB)", prepared * 1000, "ms"),
        ("pod start to ready, application only", starts[0] * 1000, "ms"),
        ("pod start to ready, with a database box", starts[1] * 1000, "ms"),
        ("pod close", statistics.median(ends) * 1000, "ms"),
        ("`bash -c true` itself, inside", itself, "ms"),
        ("the same through the box's shell", trivial, "ms"),
        ("  over the command itself", trivial - itself, "ms"),
        ("the same through `docker exec` (API)", executed, "ms"),
        ("write a file of 4 kB", write, "ms"),
        ("read a file of 4 kB", read, "ms"),
        ("write a file of 10 MiB", write_large, "ms"),
        ("read a file of 10 MiB", read_large, "ms"),
        ("one question to the probe", ask, "ms"),
    ):
        lines.append(f"{title:<42} {value:9.1f} {unit}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
