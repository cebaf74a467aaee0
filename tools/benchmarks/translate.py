"""Measure translators: Sylvite's program, onnxruntime and CTranslate2 on the same weights.

    tools/bench translate                              the bundled model (examples/translate)
    tools/export marian-base --out /tmp/marian-base    and one of Marian's usual size, weights made up
    tools/bench translate /tmp/marian-base --repeat 7 --json results.json

Greedy, in 32 bits, on sentences of our own (tools/benchmarks/sentences.txt). For each number of threads and batch
size the three translate the same sentences, one after the other, again and again: a slow moment of the machine
hits all. Each is a process, warmed up, and stopped while another is measured. Reported are the medians, and the
slowest and the fastest repetition.

  sylvite       text to text, through a pipe, on the clock of the one who waits
  onnxruntime   encoder, decoder and decoder with past in a loop (translate_peers.py), default optimisations, no copies
                between steps, sentences sorted by length, finished ones dropped; token ids to token ids
  ctranslate2   translate_batch, beam_size 1, on a model made of the ONNX files' own weights; tokens to tokens

Peaks of the machine are measured in the same run: multiply-adds by `sylvite bench`, reading (before and after each
row; the best counts) by read_bandwidth.c over a buffer as large as the weights of a decoding step. "Weights read":
steps a second times those bytes, and their share of that bandwidth; caches and the encoder come on top. Memory: the
most that was resident, of the peers with Python (30 MB). Cold start: from the start of the process to a loaded model,
and to one translated sentence, files in the page cache, all threads. Model files of the peers: graphs or model and
tokenizer; packages: as installed. "Same tokens": of how many sentences the ids equal those of Sylvite.

The peers get an environment of their own (pip, 600 MB), once. Nothing else should run meanwhile. Where something must,
--realtime as root pins the rows with one thread (docs/performance.md); those with more need an idle machine: under
real-time priority, threads of the peers that wait for each other do so on each other's core."""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

from processes import (PACKAGES, ROOT, Process, count_of, numbers, output_of, parse, parser_of, say, scheduled,
                       set_up_peers, take_turns)

BUNDLED = ROOT / "examples" / "translate"
PEERS = pathlib.Path(__file__).with_name("translate_peers.py")


def parse_arguments():
    parser = parser_of("translate", __doc__, ["sylvite", "onnxruntime", "ctranslate2"], "programs, converted models")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FOLDER",
                        help="exported Marian models to measure as well; their translations stop at --max-length")
    parser.add_argument("--max-length", type=int, default=32, metavar="N",
                        help="tokens of a translation by FOLDER's model (32)")
    parser.add_argument("--count", type=int, default=16, metavar="N",
                        help="sentences for FOLDER's model at batch 1 (16); else four batches")
    parser.add_argument("--batch", type=numbers, default=[1, 32], metavar="N,...", help="1,32")
    parser.add_argument("--no-bundled", action="store_true", help="only the FOLDERs")
    return parse(parser, "decoder_with_past_model.onnx")


class Sylvite(Process):
    def __init__(self, a, model, threads, batch):
        super().__init__(a, [model.program, "--threads", threads, "--batch", batch, *model.limit], threads)

    def wait_until_ready(self):
        self.ask("\n", 1)  # an empty line stays empty

    def translate(self, sentences):
        begin = time.perf_counter()
        self.ask("\n".join(sentences) + "\n", len(sentences))
        return time.perf_counter() - begin, None


class Peer(Process):
    def __init__(self, a, name, model, threads, batch):
        folder = model.folder if name == "onnxruntime" else f"{model.folder}:{model.converted}"
        super().__init__(a, [model.python, PEERS, name, folder, threads, batch, model.most], threads)

    def wait_until_ready(self):
        self.ask("", 1)

    def translate(self, sentences):
        answer = json.loads(self.ask(json.dumps(sentences) + "\n", 1))
        return answer["seconds"], answer["ids"]


class Model:
    def __init__(self, a, folder, python):
        self.folder, self.python, self.bundled = folder, python, folder == BUNDLED
        self.name = str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else folder.name
        generation = json.loads((folder / "generation_config.json").read_text())
        self.most = generation["max_length"] - 1 if self.bundled else a.max_length  # without the start token
        self.limit = ["--max-length", self.most]
        self.program, self.converted = a.work / f"{folder.name}-program", a.work / f"{folder.name}-ctranslate2"
        say(f"{self.name}: compiling {self.program}, converting {self.converted}")
        output_of(a.sylvite, "compile", folder, "-o", self.program)
        self.step_bytes = json.loads(output_of(python, PEERS, "convert", folder, self.converted))["step_bytes"]
        self.weights = int(re.search(r"weights: (\d+)", output_of(self.program, "--info")).group(1))

    def start(self, a, engine, threads, batch):
        process = Sylvite(a, self, threads, batch) if engine == "sylvite" else \
            Peer(a, engine, self, threads, batch)
        process.wait_until_ready()
        return process

    def files(self, engine):
        """Bytes of what a user needs besides installed packages."""
        if engine == "sylvite":
            return self.program.stat().st_size
        tokenizer = [self.folder / name for name in ("source.spm", "target.spm")]
        graphs = [*self.folder.glob("*_model.onnx"), self.folder / "vocab.json"]
        return sum(f.stat().st_size for f in tokenizer + (
            graphs if engine == "onnxruntime" else [*self.converted.iterdir()]))


def machine(a, model, threads):
    peak = json.loads(output_of(*scheduled(a, threads), a.sylvite, "bench", ROOT / "examples/vit/model.onnx",
                                "--size", "batch=1", "--runs", 1, "--threads", threads, "--json"))
    return {"threads": threads, "cpu": peak["cpu"], "isa": peak["isa"], "gflops": peak["fma_peak_gflops"]}


def read_bandwidth(a, model, threads):
    """Bytes a second."""
    program = a.work / "read_bandwidth"
    if not program.exists():
        source = PEERS.with_name("read_bandwidth.c")
        output_of("cc", "-O3", "-march=native", "-pthread", "-o", program, source)
    return float(output_of(*scheduled(a, threads), program, model.step_bytes, threads))


def measure_row(a, model, sentences, threads, batch):
    """The engines' figures at one number of threads and one batch size."""
    if not model.bundled:
        count = min(len(sentences), a.count if batch == 1 else 4 * batch)
        sentences = [sentences[i * len(sentences) // count] for i in range(count)]
    done = subprocess.run([str(word) for word in (model.program, "--json", *model.limit)],
                          input="\n".join(sentences) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    ours = [answer["ids"] for answer in answers]
    lengths = [len(ids) + (len(ids) < model.most) for ids in ours]  # the end token is one
    order = sorted(range(len(ours)), key=lambda i: -answers[i]["source_tokens"])
    steps = sum(max(lengths[i] for i in order[k:k + batch]) for k in range(0, len(order), batch))
    words = sum(len(sentence.split()) for sentence in sentences)
    processes, rows = {}, {}
    for engine in a.engines:
        processes[engine] = model.start(a, engine, threads, batch)
        _, ids = processes[engine].translate(sentences)  # warms up
        processes[engine].pause(True)
        found = ours if ids is None else ids
        rows[engine] = {"engine": engine, "threads": threads, "batch": batch, "sentences": len(sentences),
                        "same_tokens": sum(x == y for x, y in zip(ours, found)), "words": words, "steps": steps,
                        "tokens": sum(len(ids) + (len(ids) < model.most) for ids in found), "seconds": []}
    take_turns(a, f"{model.name}, {count_of(threads)}, batch {batch}", processes,
               lambda engine: rows[engine]["seconds"].append(processes[engine].translate(sentences)[0]))
    for engine, row in rows.items():
        median = statistics.median(row["seconds"])
        row |= {"peak_megabytes": processes[engine].end(), "tokens_per_second": row["tokens"] / median,
                "slowest": row["tokens"] / max(row["seconds"]), "fastest": row["tokens"] / min(row["seconds"]),
                "words_per_second": words / median, "weights_read": steps * model.step_bytes / median}
    return list(rows.values())


def measure_start(a, model, sentence):
    threads = max(a.threads)
    times = {engine: [] for engine in a.engines}
    say(f"{model.name}: cold start")
    for _ in range(a.repeat):
        for engine in a.engines:
            process = model.start(a, engine, threads, 1)
            ready = time.perf_counter() - process.begin
            process.translate([sentence])
            times[engine].append((ready, time.perf_counter() - process.begin))
            process.end()
    return [{"engine": engine, "ready_seconds": statistics.median(ready for ready, _ in found),
             "first_seconds": statistics.median(first for _, first in found),
             "model_megabytes": model.files(engine) / 1e6,
             "package_megabytes": 0 if engine == "sylvite" else installed(model.python, engine)}
            for engine, found in times.items()]


def installed(python, engine):
    """Megabytes of the packages that a peer's loop imports."""
    code = ("import importlib.metadata as m, sys; print(sum(f.size or 0 for n in sys.argv[1:] "
            "for f in m.files(n)) / 1e6)")
    return float(output_of(python, "-c", code, engine, "numpy", "sentencepiece"))


def print_model(result):
    print(f"## {result['model']}\n")
    for peak in result["machine"]:
        print(f"{peak['cpu']}, {peak['isa']}, {count_of(peak['threads'])}: "
              f"{peak['gflops']:.0f} GFLOP/s of multiply-adds, {peak['read_bandwidth'] / 1e9:.1f} GB/s read over "
              f"the {result['step_bytes'] / 1e6:.1f} MB of a step's weights  ")
    print(f"\nThe program's weights: {result['weights'] / 1e6:.1f} MB. At most {result['max_length']} tokens "
          f"a translation.\n\n"
          "| threads | batch | | tokens/s | from - to | source words/s | weights read | memory | same tokens |\n"
          "|---|---|---|---|---|---|---|---|---|")
    for row in result["rows"]:
        print(f"| {row['threads']} | {row['batch']} | {row['engine']} | {row['tokens_per_second']:.0f} | "
              f"{row['slowest']:.0f} - {row['fastest']:.0f} | {row['words_per_second']:.0f} | "
              f"{row['weights_read'] / 1e9:.1f} GB/s, {100 * row['share_of_bandwidth']:.0f} % | "
              f"{row['peak_megabytes']:.0f} MB | {row['same_tokens']} of {row['sentences']} |")
    print("\n| | loaded after | first sentence after | model files | packages |\n|---|---|---|---|---|")
    for row in result["start"]:
        print(f"| {row['engine']} | {1e3 * row['ready_seconds']:.0f} ms | {1e3 * row['first_seconds']:.0f} ms | "
              f"{row['model_megabytes']:.1f} MB | "
              f"{format(row['package_megabytes'], '.0f') + ' MB' if row['package_megabytes'] else 'none'} |")
    print(flush=True)


def main():
    a = parse_arguments()
    python = set_up_peers(a)
    sentences = PEERS.with_name("sentences.txt").read_text(encoding="utf-8").splitlines()
    results = []
    for folder in ([] if a.no_bundled else [BUNDLED]) + [folder.resolve() for folder in a.folders]:
        model = Model(a, folder, python)
        result = {"model": model.name, "version": output_of(a.sylvite, "--version").strip(),
                  "packages": PACKAGES, "max_length": model.most, "step_bytes": model.step_bytes,
                  "weights": model.weights, "machine": [machine(a, model, n) for n in a.threads], "rows": []}
        for peak in result["machine"]:
            threads = peak["threads"]
            speeds, rows = [read_bandwidth(a, model, threads)], []
            for batch in a.batch:
                rows += measure_row(a, model, sentences, threads, batch)
                speeds.append(read_bandwidth(a, model, threads))
            peak |= {"read_bandwidth": max(speeds), "read_bandwidths": speeds}
            for row in rows:
                row["share_of_bandwidth"] = row["weights_read"] / max(speeds)
            result["rows"] += rows
        result["start"] = measure_start(a, model, sentences[0])
        results.append(result)
        print_model(result)
        if a.json:
            a.json.write_text(json.dumps(results, indent=1) + "\n")


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
