"""Makes tests/translate/word-lists.json: token ids that a plain greedy loop over onnxruntime gives.

    python tests/translate/make_word_goldens.py FOLDER...     (with onnx and onnxruntime)

FOLDERs hold folders of models: tests/models, and the corpus that SYLVITE_CORPUS names. A model may be one graph (src, tgt) ->
scores, an encoder and a decoder, or these and a decoder with caches; the loop here computes the whole target at each
step and has no caches. Sources are random (seeded), one at a time. Which token ends a sentence is chosen for each model
so that about half of the sentences end before the limit: with random weights it could be any. Sentences with a close
call (two scores nearer than 1e-3) are left out.

In the file, by model: the manifest (its words are w0, w1, ...), how many words there are, and sources with their targets.
"""
import json
import pathlib
import random
import sys

import numpy as np
import onnx
import onnxruntime

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ["marian-encdec-ts14", "marian-optimum-merged", "nn-transformer-dynamo18", "nn-transformer-ts17",
          "seed-selfattn-ts14-std", "seed-selfattn-ts15-frozen-batch", "seed-selfattn-ts17-var",
          "seed-transformer-n2-dynamo18-where", "seed-transformer-n2-dynamo20-tied",
          "seed-transformer-n2-encdec-dynamo18", "seed-transformer-n2-ts11-annotated",
          "seed-transformer-n2-ts17-inf", "seed-transformer-n2-ts17-static", "seed-transformer-n3-encdec-ts13",
          "seed-transformer-n6-ts14"]
PAD, START, UNKNOWN = 0, 1, 3
SENTENCES, LONGEST, MARGIN = 16, 20, 1e-3


def session(file):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(runnable(file), options, providers=["CPUExecutionProvider"])


def runnable(file):
    """The model with each Trilu of bytes or booleans, which onnxruntime lacks, computed in i64."""
    lacking = (onnx.TensorProto.BOOL, onnx.TensorProto.UINT8)
    model = onnx.shape_inference.infer_shapes(onnx.load(file))
    types = {value.name: value.type.tensor_type.elem_type for value in [*model.graph.value_info, *model.graph.input]}
    for node in model.graph.node:
        types |= {node.output[0]: given.t.data_type for given in node.attribute
                  if node.op_type in ("Constant", "ConstantOfShape") and given.HasField("t")}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Trilu" or types.get(node.input[0]) not in lacking:
            nodes.append(node)
            continue
        given, result = node.input[0], node.output[0]
        node.input[0], node.output[0] = result + "/whole", result + "/cut"
        nodes += [onnx.helper.make_node("Cast", [given], [node.input[0]], to=onnx.TensorProto.INT64), node,
                  onnx.helper.make_node("Cast", [node.output[0]], [result], to=types[given])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def names(values):
    return [value.name for value in values]


def fixed(size):
    return size if isinstance(size, int) else 0


class Combined:
    def __init__(self, folder):
        self.graph = session(folder / "model.onnx")
        shapes = {value.name: value.shape for value in self.graph.get_inputs()}
        self.batch, self.source = fixed(shapes["src"][0]), fixed(shapes["src"][1])
        self.target = fixed(shapes["tgt"][1])
        self.scores = self.graph.get_outputs()[0]
        self.manifest = {"model": {"file": "model.onnx", "source": "src", "target": "tgt", "scores": self.scores.name}}

    def next(self, source, target):
        def shaped(tokens, length):
            tokens = tokens + [PAD] * max(0, length - len(tokens))
            return np.array([tokens] * max(self.batch, 1), np.int64)
        feed = {"src": shaped(source, self.source), "tgt": shaped(target, self.target)}
        return self.graph.run([self.scores.name], feed)[0][0, len(target) - 1]


class Separate:
    """encoder.onnx and decoder.onnx, by hand: the decoder takes what the encoder gives and what it takes."""
    source = target = 0

    def __init__(self, folder):
        self.encoder, self.decoder = session(folder / "encoder.onnx"), session(folder / "decoder.onnx")
        self.scores = self.decoder.get_outputs()[0]
        self.given = [name for name in names(self.decoder.get_inputs()) if name != "tgt"]
        self.manifest = {"encoder": {"file": "encoder.onnx", "tokens": "src"},
                         "decoder": {"file": "decoder.onnx", "tokens": "tgt", "scores": self.scores.name,
                                     "sources": {name: name for name in self.given}}}

    def next(self, source, target):
        known = {"src": np.array([source], np.int64), "tgt": np.array([target], np.int64)}
        known[self.encoder.get_outputs()[0].name] = self.encoder.run(None, {"src": known["src"]})[0]
        scores = self.decoder.run([self.scores.name], {name: known[name] for name in self.given + ["tgt"]})[0]
        return scores[0, -1] if scores.ndim == 3 else scores[0]


class Marian:
    """Graphs of Hugging Face's exporters: the first decoder, and one with caches, or both in one file."""
    source = target = 0

    def __init__(self, folder):
        self.encoder = session(folder / "encoder.onnx")
        self.merged = (folder / "decoder_merged.onnx").exists()
        first = later = folder / "decoder_merged.onnx"
        if not self.merged:
            first, later = folder / "decoder.onnx", folder / "decoder_with_past.onnx"
        self.decoder, with_past = session(first), session(later)
        self.scores = next(value for value in self.decoder.get_outputs() if value.name == "logits")
        hidden = self.encoder.get_outputs()[0].name

        def side(file, inputs, cached):
            decoder = {"file": file.name, "tokens": "input_ids", "scores": "logits", "sources": {}, "caches": {}}
            for name in inputs:
                present = name.replace("past_key_values", "present")
                if name == "encoder_attention_mask":
                    decoder["sources"][name] = "attention_mask"
                elif name == "encoder_hidden_states":
                    decoder["sources"][name] = hidden
                elif ".encoder." in name and cached:
                    decoder["sources"][name] = present
                elif ".decoder." in name and cached:
                    decoder["caches"][name] = present
            if self.merged:
                decoder["branches"] = {"use_cache_branch": cached}
            return {key: value for key, value in decoder.items() if value != {}}

        self.manifest = {"encoder": {"file": "encoder.onnx", "tokens": "input_ids", "mask": "attention_mask"},
                         "decoder": side(first, names(self.decoder.get_inputs()), False),
                         "decoder_with_past": side(later, names(with_past.get_inputs()), True)}

    def next(self, source, target):
        tokens = np.array([source], np.int64)
        mask = np.ones_like(tokens)
        hidden = self.encoder.run(None, {"input_ids": tokens, "attention_mask": mask})[0]
        feed = {"input_ids": np.array([target], np.int64), "encoder_attention_mask": mask,
                "encoder_hidden_states": hidden}
        for value in self.decoder.get_inputs():
            if value.name.startswith("past_key_values"):  # not read by the branch for the first token
                feed[value.name] = np.zeros([1, value.shape[1], 0, value.shape[3]], np.float32)
            elif value.name == "use_cache_branch":
                feed[value.name] = np.array([False])
        feed = {name: feed[name] for name in names(self.decoder.get_inputs())}
        return self.decoder.run(["logits"], feed)[0][0, -1]


def open_model(folder):
    if (folder / "model.onnx").exists():
        return Combined(folder)
    inputs = names(session(folder / "encoder.onnx").get_inputs())
    return Separate(folder) if "src" in inputs else Marian(folder)


def greedy(model, source, limit):
    target, margin = [START], float("inf")
    while len(target) <= limit:
        scores = model.next(source, target)
        best = np.sort(scores)
        margin = min(margin, float(best[-1] - best[-2]))
        target.append(int(np.argmax(scores)))
    return target[1:], margin


def choose_end(targets):
    """The token that is in about half of the targets."""
    counts = {}
    for target in targets:
        for token in set(target) - {PAD, START, UNKNOWN}:
            counts[token] = counts.get(token, 0) + 1
    return min(sorted(counts), key=lambda token: abs(2 * counts[token] - len(targets)))


def make(folder):
    model = open_model(folder)
    words = model.scores.shape[-1]
    limit = min(LONGEST, model.target or LONGEST)
    rnd = random.Random(5)
    sources, targets = [], []
    for _ in range(SENTENCES):
        source = [rnd.randrange(UNKNOWN + 1, words) for _ in range(rnd.randrange(1, min(12, model.source or 12)))]
        target, margin = greedy(model, source, limit)
        if margin >= MARGIN:
            sources.append(source)
            targets.append(target)
    end = choose_end(targets)
    targets = [target[:target.index(end)] if end in target else target for target in targets]
    probabilities = "log_prob" in model.scores.name
    manifest = {"task": "translate", **model.manifest,
                "scores_are": "log_probabilities" if probabilities else "logits",
                "tokenizer": {"kind": "words", "source": "words.txt", "target": "words.txt", "unknown": f"w{UNKNOWN}",
                              "skipped": [f"w{PAD}"]},
                "tokens": {"start": f"w{START}", "end": f"w{end}", "pad": f"w{PAD}"},
                "decoding": {"max_length": limit}}
    ended = sum(len(target) < limit for target in targets)
    print(f"{folder.name}: {len(sources)} sentences, {ended} end early, {targets.count([])} at once")
    return {"manifest": manifest, "words": words, "sources": sources, "targets": targets}


def main():
    folders = [pathlib.Path(root) / name for name in MODELS for root in sys.argv[1:]]
    found = {}
    for folder in folders:
        if folder.is_dir() and folder.name not in found:
            found[folder.name] = make(folder)
    assert list(found) == MODELS, "missing: " + ", ".join(set(MODELS) - set(found))
    text = json.dumps(found, separators=(",", ":")).replace('{"manifest"', '\n{"manifest"').replace(',"words":', ',\n"words":')
    (HERE / "word-lists.json").write_text(text.replace(',"sources":[[', ',\n"sources":[[').replace(',"targets":', ',\n"targets":') + "\n")


if __name__ == "__main__":
    main()
