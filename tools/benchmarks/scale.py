"""Measure how compiling grows with a model's layers, and models of any size against their expected outputs.

    for layers in 2 12 48; do
      tools/export bert-base --layers $layers --width 1024 --heads 16 --out /tmp/big/bert-$layers
    done
    tools/bench scale /tmp/big/bert-2 /tmp/big/bert-12 /tmp/big/bert-48

FOLDER is what tools/export wrote: model.onnx with its data, inputs-A.npz and expected-A.npz. Each model is compiled with an
empty kernel cache, with the one that this has filled, and with its weights in a file of their own; then both programs
run the inputs, and their outputs are compared with what was expected.

  clock        from start to end, disk included
  processor    user and system time of all threads
  anonymous    the most memory at once that is in no file (RssAnon of /proc/PID/status, every 5 ms)
  kernels      different ones, each compiled once for each instruction set level
  difference   the greatest of any output

--onnxruntime also compares with onnxruntime's outputs, in an environment of its own (pip, 600 MB), once."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from processes import ROOT, output_of, parse, parser_of, running, say, set_up_peers

PEERS = pathlib.Path(__file__).with_name("model_peers.py")


def parse_arguments():
    parser = parser_of("scale", __doc__, [], "programs, outputs")
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER", help="each with a model.onnx")
    parser.add_argument("--onnxruntime", action="store_true", help="compare with its outputs too")
    return parse(parser, "expected-A.npz")


def measured(*command):
    """Runs it: seconds, and the most anonymous memory."""
    begin, anonymous = time.perf_counter(), 0
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    running.add(process)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while True:
        found = re.search(r"RssAnon:\s+(\d+)", status.read_text())
        anonymous = max(anonymous, int(found.group(1)) * 1024 if found else 0)
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid != 0:
            break
        time.sleep(0.005)
    running.discard(process)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != 0:
        sys.exit(f"tools/bench: exit code {process.returncode} of {' '.join(map(str, command))}")
    return {"clock": time.perf_counter() - begin, "processor": usage.ru_utime + usage.ru_stime,
            "anonymous": anonymous}


def difference(found, expected):
    python = ROOT / "build/venv/bin/python"
    return json.loads(output_of(python, PEERS, "compare", found, expected))


def measure(a, folder, python):
    model, program, outputs = folder / "model.onnx", a.work / "scale-program", a.work / "scale-outputs.npz"
    cache = a.work / "scale-cache"
    shutil.rmtree(cache, ignore_errors=True)
    result = {"model": folder.name}
    report = json.loads(output_of(a.sylvite, "inspect", model, "--json"))
    result["kernels"], result["calls"] = len(report["kernels"]), report["plan_calls"]
    for step, flags in (("cold", []), ("warm", []), ("separate", ["--weights=separate"])):
        say(f"{folder.name}: compiling, {step}")
        result[step] = measured(a.sylvite, "compile", model, "-o", program, "--cache-dir", cache, *flags)
        result[step]["program"] = program.stat().st_size
        if step == "cold":
            continue
        say(f"{folder.name}: running")
        result[step]["run"] = measured(program, "--inputs", folder / "inputs-A.npz", "--outputs", outputs)
        result[step]["difference"] = difference(outputs, folder / "expected-A.npz")
    weights = pathlib.Path(f"{program}.weights")
    result["weights"] = weights.stat().st_size
    if python:
        say(f"{folder.name}: onnxruntime")
        theirs = a.work / "scale-onnxruntime.npz"
        measured(python, PEERS, "onnxruntime", model, folder / "inputs-A.npz", len(os.sched_getaffinity(0)), theirs)
        result["onnxruntime"] = difference(outputs, theirs)
    for file in (program, weights, outputs):
        file.unlink()
    return result


def print_table(results):
    print("| model | weights | kernels | calls | cold: clock, processor, anonymous | warm | program, weights beside it "
          "| difference |\n|---|---|---|---|---|---|---|---|")
    for result in results:
        def cell(step):
            found = result[step]
            return f"{found['clock']:.1f} s, {found['processor']:.1f} s, {found['anonymous'] / 1e6:.0f} MB"
        differences = [result["warm"]["difference"], result["separate"]["difference"], result.get("onnxruntime", 0)]
        print(f"| {result['model']} | {result['weights'] / 1e6:.0f} MB | {result['kernels']} | {result['calls']} | "
              f"{cell('cold')} | {cell('warm')} | {result['separate']['program'] / 1e6:.2f} MB | "
              f"{max(differences):.1e} |")


def main():
    a = parse_arguments()
    python = set_up_peers(a) if a.onnxruntime else None
    results = []
    for folder in a.folders:
        results.append(measure(a, folder.resolve(), python))
        if a.json:
            a.json.write_text(json.dumps(results, indent=1) + "\n")
    print_table(results)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
