"""What the measurements beside peers share: programs as processes that wait while others are measured."""

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
