"""Measure models: Sylvite's program beside onnxruntime and OpenVINO, float32.

    tools/export vit-b16 --out /tmp/big/vit-b16
    tools/export bert-base --out /tmp/big/bert-base
    tools/bench models /tmp/big/vit-b16 /tmp/big/bert-base --size length=128 --repeat 7 --json results.json

FOLDER holds model.onnx. Its inputs are made up: floats from a normal distribution, whole numbers 1. For each number of
threads the engines take turns; a turn is --runs runs one after the other, behind one that is not counted. Each peer
is a process of its own and is stopped while another one is measured; Sylvite's program is started for each turn.
Reported are the median and the least of all runs, and the greatest difference of any output from onnxruntime's.

  sylvite       PROGRAM --bench, the run function alone, as for the peers
  onnxruntime   default optimisations, intra-op threads as said
  openvino      INFERENCE_PRECISION_HINT f32 (its default on some machines is bf16), latency hint, threads as said

The peak of the machine, fused multiply-adds, is measured by `PROGRAM --bench` in the same run. The peers get an
environment of their own (pip, 600 MB), once. Nothing else should run meanwhile; --realtime as root pins what has
one thread."""

import json
import pathlib
import statistics
import sys

from processes import (PACKAGES, Process, count_of, output_of, parse, parser_of, say, scheduled, set_up_peers,
                       take_turns)

PEERS = pathlib.Path(__file__).with_name("model_peers.py")


def parse_arguments():
    parser = parser_of("models", __doc__, ["sylvite", "onnxruntime", "openvino"], "programs, inputs")
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER", help="each with a model.onnx")
    parser.add_argument("--size", default="", metavar="NAME=N,...", help="the inputs' sizes; others are 1")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs in a turn (5)")
    return parse(parser, "model.onnx")


class Sylvite:
    """Started anew for each turn."""

    def __init__(self, a, program, inputs, threads):
        self.command = [*scheduled(a, threads), program, "--bench", "--json", "--inputs", inputs, "--threads", threads]
        self.peak = 0

    def turn(self, runs):
        found = json.loads(output_of(*self.command, "--runs", runs))
        self.peak = max(self.peak, found["peak_flops"])
        self.isa, self.flops = found["isa"], sum(call["flops"] for call in found["calls"])
        return [ns / 1e9 for ns in found["times_ns"]]

    def pause(self, stop):
        pass


class Peer(Process):
    def turn(self, runs):
        return json.loads(self.ask(f"{runs}\n", 1))


def measure(a, folder, python):
    model, program = folder / "model.onnx", a.work / f"{folder.name}-program"
    inputs, outputs = a.work / f"{folder.name}-inputs.npz", a.work / f"{folder.name}-outputs"
    say(f"{folder.name}: compiling {program}")
    output_of(a.sylvite, "compile", model, "-o", program)
    output_of(python, PEERS, "inputs", model, inputs, a.size)
    output_of(program, "--inputs", inputs, "--outputs", f"{outputs}-sylvite.npz")
    rows = []
    for threads in a.threads:
        engines = {}
        for name in a.engines:
            engines[name] = Sylvite(a, program, inputs, threads) if name == "sylvite" else Peer(
                a, [python, PEERS, name, model, inputs, threads, f"{outputs}-{name}.npz"], threads)
            if name != "sylvite":
                engines[name].ask("", 1)
            engines[name].pause(True)
        times = {name: [] for name in engines}
        take_turns(a, f"{folder.name}, {count_of(threads)}", engines,
                   lambda name: times[name].extend(engines[name].turn(a.runs)))
        for name, engine in engines.items():
            rows.append({"engine": name, "threads": threads, "median": statistics.median(times[name]),
                         "least": min(times[name]), "seconds": times[name]})
            if name == "sylvite":
                rows[-1] |= {"peak_flops": engine.peak, "flops": engine.flops, "isa": engine.isa}
            else:
                engine.end()
    different = {name: json.loads(output_of(python, PEERS, "compare", f"{outputs}-{name}.npz",
                                            f"{outputs}-onnxruntime.npz"))
                 for name in a.engines if "onnxruntime" in a.engines}
    return {"model": folder.name, "size": a.size, "packages": PACKAGES, "rows": rows, "difference": different}


def print_model(result):
    print(f"## {result['model']} {result['size']}\n")
    for row in result["rows"]:
        if row["engine"] == "sylvite":
            print(f"{row['isa']}, {count_of(row['threads'])}: {row['flops'] / 1e9:.1f} GFLOP "
                  f"a run, peak {row['peak_flops'] / 1e9:.0f} GFLOP/s  ")
    print("\n| threads | | median | least | times Sylvite's | greatest difference |\n|---|---|---|---|---|---|")
    ours = {row["threads"]: row["median"] for row in result["rows"] if row["engine"] == "sylvite"}
    for row in result["rows"]:
        ratio = f"{row['median'] / ours[row['threads']]:.2f}" if row["threads"] in ours else ""
        print(f"| {row['threads']} | {row['engine']} | {1e3 * row['median']:.1f} ms | {1e3 * row['least']:.1f} ms | "
              f"{ratio} | {result['difference'].get(row['engine'], 0):.1e} |")
    print(flush=True)


def main():
    a = parse_arguments()
    python = set_up_peers(a)
    results = []
    for folder in a.folders:
        results.append(measure(a, folder.resolve(), python))
        print_model(results[-1])
        if a.json:
            a.json.write_text(json.dumps(results, indent=1) + "\n")


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
