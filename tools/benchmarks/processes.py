"""What the measurements beside peers share: options, and programs as processes that wait while others are measured."""

import argparse
import atexit
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ["onnxruntime==1.32.0", "openvino==2026.4.1", "ctranslate2==4.8.5", "sentencepiece==0.2.3", "onnx==1.23.2",
            "numpy==2.4.6"]
running = set()  # processes


def end_with_us():
    """No process outlives this one."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    atexit.register(lambda: [process.kill() for process in running])


def numbers(text):
    return [int(word) for word in text.split(",")]


def parser_of(command, text, engines, work):
    """With the options that all measurements have; more where engines take turns."""
    threads = sorted({1, len(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(prog=f"tools/bench {command}", description=text,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    if engines:
        parser.add_argument("--threads", type=numbers, default=threads, metavar="N,...",
                            help=f"one and all ({','.join(map(str, threads))})")
        parser.add_argument("--repeat", type=int, default=7, metavar="N", help="turns of each engine (7)")
        parser.add_argument("--engines", type=lambda text: text.split(","), default=engines, metavar="NAME,...",
                            help=",".join(engines))
        parser.add_argument("--realtime", action="store_true",
                            help="with one thread: chrt -f 10, and taskset to the last core")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all figures, each turn")
    parser.add_argument("--sylvite", type=pathlib.Path, default=ROOT / "build/bin/sylvite", metavar="FILE",
                        help="the compiler (build/bin/sylvite)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench", metavar="DIR",
                        help=f"{work}, the peers' environment (build/bench)")
    return parser


def parse(parser, file):
    """The options, checked; each folder holds `file`."""
    a = parser.parse_args()
    engines = parser.get_default("engines")
    if engines and not set(a.engines) <= set(engines):
        parser.error(f"--engines: some of {','.join(engines)}")
    for folder in a.folders:
        if not (folder / file).exists():
            parser.error(f"{folder}: expected a folder with {file}")
    if not a.sylvite.exists():
        sys.exit(f"tools/bench: {a.sylvite} is not built; run tools/test or tools/demo")
    end_with_us()
    a.work.mkdir(parents=True, exist_ok=True)
    a.work = a.work.resolve()
    return a


def count_of(threads):
    return f"{threads} thread{'s' * (threads > 1)}"


def take_turns(a, what, engines, turn):
    """Calls turn(name) for each engine, --repeat times, the others paused. Whoever was first is last the next time."""
    for i in range(a.repeat):
        say(f"{what}: {i + 1} of {a.repeat}")
        for k in range(len(a.engines)):
            name = a.engines[(k + i) % len(a.engines)]
            engines[name].pause(False)
            turn(name)
            engines[name].pause(True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def output_of(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/bench: exit code {done.returncode} of {' '.join(map(str, words))}")
    return done.stdout


def scheduled(a, threads):
    """What stands before a measured command."""
    pinned = a.realtime and threads == 1
    return ["chrt", "-f", 10, "taskset", "-c", max(os.sched_getaffinity(0))] if pinned else []


def set_up_peers(a):
    """Python with the peers in it, an environment of their own."""
    python, stamp = a.work / "peers/bin/python", a.work / "peers/packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        say(f"setting up {python.parent.parent}: {' '.join(PACKAGES)}")
        output_of(sys.executable, "-m", "venv", "--clear", python.parent.parent)
        output_of(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        stamp.write_text("\n".join(PACKAGES))
    return python


class Process:
    """Waits for questions on its standard input, and while others are measured."""

    def __init__(self, a, command, threads):
        command = [*scheduled(a, threads), *command]
        self.begin = time.perf_counter()
        self.log = a.work / "log"
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(self.log, "ab"), bufsize=0)
        running.add(self.process)

    def ask(self, text, lines):
        """Writes, and reads so many lines."""
        self.process.stdin.write(text.encode())
        answer = b""
        while answer.count(b"\n") < lines:
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                sys.exit(f"tools/bench: {self.process.args[0]} ended, see {self.log}")
            answer += part
        return answer.decode()

    def pause(self, stop):
        self.process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)

    def end(self):
        """Megabytes at most."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.kill()
        self.process.wait()
        running.discard(self.process)
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) * 1024 / 1e6
