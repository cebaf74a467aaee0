"""The other sides of tools/bench translate; runs in the environment that translate.py sets up.

    translate_peers.py convert FOLDER OUT            FOLDER's weights as a CTranslate2 model; prints sizes
    translate_peers.py onnxruntime FOLDER ...        translates greedily
    translate_peers.py ctranslate2 FOLDER:OUT ...    the same

The translators print "ready", then answer each line of standard input, a JSON list of sentences, with a
JSON object: {"seconds", "ids"}. The clock runs from token ids to token ids.
"""

import json
import pathlib
import sys
import time

import numpy as np


def settings_of(folder):
    config = json.loads((folder / "config.json").read_text())
    generation = folder / "generation_config.json"
    config.update(json.loads(generation.read_text()) if generation.exists() else {})
    return config


class Tokens:
    def __init__(self, folder):
        import sentencepiece
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
        self.ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        self.words = [word for word, _ in sorted(self.ids.items(), key=lambda item: item[1])]

    def encode(self, text):
        pieces = self.pieces.encode(text, out_type=str)
        return [self.ids.get(piece, self.ids["<unk>"]) for piece in pieces] + [self.ids["</s>"]]


class OnnxRuntime:
    """The loop of transformers' greedy search, without its overhead: caches stay onnxruntime's own values,
    logits land in a buffer of ours, finished sentences leave the batch once they are a quarter of it."""

    def __init__(self, folder, tokens, threads):
        import onnxruntime
        self.runtime = onnxruntime
        config = settings_of(pathlib.Path(folder))
        self.start, self.end = config["decoder_start_token_id"], config["eos_token_id"]
        self.pad, self.forced_end = config["pad_token_id"], config.get("forced_eos_token_id")
        self.banned = [word[0] for word in config.get("bad_words_ids") or [] if len(word) == 1]
        self.words = config["vocab_size"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.encoder, self.first, self.next = (
            onnxruntime.InferenceSession(str(pathlib.Path(folder) / name), options,
                                         providers=["CPUExecutionProvider"])
            for name in ("encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"))
        self.caches = [output.name.removeprefix("present.") for output in self.first.get_outputs()[1:]]
        self.grown = [output.name.removeprefix("present.") for output in self.next.get_outputs()[1:]]

    def value(self, array):
        return self.runtime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))

    def step(self, session, inputs, outputs, rows):
        """Logits, and the values of the outputs' names."""
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        logits = self.buffer[:rows]
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        for name in outputs:
            binding.bind_output(f"present.{name}", "cpu")
        session.run_with_iobinding(binding)
        logits[:, :, self.banned] = -np.inf
        return logits[:, 0], dict(zip(outputs, binding.get_outputs()[1:]))

    def translate_batch(self, sources, most):
        rows, length = len(sources), max(map(len, sources))
        source = np.full((rows, length), self.pad, np.int64)
        for row, ids in enumerate(sources):
            source[row, :len(ids)] = ids
        mask = (np.arange(length) < np.array([len(ids) for ids in sources])[:, None]).astype(np.int64)
        self.buffer = np.empty((rows, 1, self.words), np.float32)
        shared = {"encoder_attention_mask": self.value(mask)}
        hidden, = self.encoder.run_with_ort_values(
            None, {"input_ids": self.value(source), "attention_mask": shared["encoder_attention_mask"]})
        results, alive = [[] for _ in sources], np.arange(rows)  # of the batch's rows
        last, caches = np.full((rows, 1), self.start, np.int64), {}
        for step in range(most):
            inputs = shared | {"input_ids": self.value(last)}
            if step == 0:
                logits, caches = self.step(self.first, inputs | {"encoder_hidden_states": hidden},
                                           self.caches, len(alive))
            else:
                past = {f"past_key_values.{name}": value for name, value in caches.items()}
                logits, grown = self.step(self.next, inputs | past, self.grown, len(alive))
                caches |= grown
            best = logits.argmax(-1)
            if step + 1 == most and self.forced_end is not None:
                best[:] = self.end
            for row, token in zip(alive, best.tolist()):
                if row >= 0 and token != self.end:
                    results[row].append(token)
            alive = np.where(best == self.end, -1, alive)
            open_rows = np.flatnonzero(alive >= 0)
            if len(open_rows) == 0:
                break
            if 4 * len(open_rows) <= 3 * len(alive):
                alive, best = alive[open_rows], best[open_rows]
                caches = {name: self.value(value.numpy()[open_rows]) for name, value in caches.items()}
                mask = mask[open_rows]
                shared = {"encoder_attention_mask": self.value(mask)}
            last = best[:, None].astype(np.int64)
        return results

    def translate(self, sources, batch, most):
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        results = [None] * len(sources)
        for begin in range(0, len(order), batch):
            rows = order[begin:begin + batch]
            for i, ids in zip(rows, self.translate_batch([sources[i] for i in rows], most)):
                results[i] = ids
        return results


class CTranslate2:
    """Sorts by length and drops finished sentences itself."""

    def __init__(self, folder, tokens, threads):
        import ctranslate2
        self.tokens = tokens
        self.translator = ctranslate2.Translator(folder, device="cpu", compute_type="float32",
                                                 inter_threads=1, intra_threads=threads)

    def translate(self, sources, batch, most):
        words = [[self.tokens.words[i] for i in ids] for ids in sources]
        found = self.translator.translate_batch(words, beam_size=1, max_batch_size=batch,
                                                max_decoding_length=most, max_input_length=0)
        return [[self.tokens.ids[word] for word in result.hypotheses[0]] for result in found]


def serve(kind, folder, threads, batch, most):
    folder, _, model = folder.partition(":")
    tokens = Tokens(pathlib.Path(folder))
    translator = (OnnxRuntime if kind == "onnxruntime" else CTranslate2)(model or folder, tokens, threads)
    print("ready", flush=True)
    for line in sys.stdin:
        sources = [tokens.encode(text) for text in json.loads(line)]
        begin = time.perf_counter()
        ids = translator.translate(sources, batch, most)
        print(json.dumps({"seconds": time.perf_counter() - begin, "ids": ids}), flush=True)


class Graph:
    """The weights of an ONNX file by the names that its exporter derives from those of the modules."""

    def __init__(self, file):
        import onnx
        graph = onnx.load(str(file)).graph
        self.tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.nodes = graph.node
        self.makers = {output: node for node in graph.node for output in node.output}

    def constant(self, name):
        if name in self.tensors:
            return self.tensors[name].astype(np.float32)
        node = self.makers[name]
        array = self.constant(node.input[0])
        return array.T if node.op_type == "Transpose" else array  # Cast, Identity

    def is_constant(self, name):
        while name in self.makers and len(self.makers[name].input) == 1:
            name = self.makers[name].input[0]
        return name in self.tensors

    def used_by(self, op, name, place):
        found = [node for node in self.nodes if node.op_type == op and node.name.endswith(name)]
        if len(found) != 1:
            sys.exit(f"expected one {op} named ...{name}, found {len(found)}")
        return self.constant(found[0].input[place])

    def tensor(self, name):
        """Large ones may be stored under another name with a Cast behind it."""
        name = name.replace("/", ".")
        names = [n for n in [*self.tensors, *self.makers] if n == name or n.endswith("." + name)]
        if len(names) != 1:
            sys.exit(f"expected one tensor named ...{name}, found {names}")
        return self.constant(names[0])

    def linear(self, spec, name):
        spec.weight = np.ascontiguousarray(self.used_by("MatMul", f"/{name}/MatMul", 1).T)
        spec.bias = self.tensor(name + ".bias")

    def norm(self, spec, name):
        spec.gamma, spec.beta = self.tensor(name + ".weight"), self.tensor(name + ".bias")

    def attention(self, spec, layer, name, own):
        from ctranslate2.converters import utils
        from ctranslate2.specs import common_spec
        parts = [common_spec.LinearSpec() for _ in range(3)]
        for part, letter in zip(parts, "qkv"):
            self.linear(part, f"{layer}/{name}/{letter}_proj")
        if own:
            utils.fuse_linear(spec.linear[0], parts)
        else:
            spec.linear[0] = parts[0]
            utils.fuse_linear(spec.linear[1], parts[1:])
        self.linear(spec.linear[-1], f"{layer}/{name}/out_proj")
        self.norm(spec.layer_norm, f"{layer}/{name}_layer_norm")

    def stack(self, spec):
        """What encoder and decoder have alike."""
        spec.position_encodings.encodings = self.used_by("Gather", "/embed_positions/Gather", 0)
        for i, layer in enumerate(spec.layer):
            name = f"layers.{i}"
            self.attention(layer.self_attention, name, "self_attn", True)
            if hasattr(layer, "attention"):
                self.attention(layer.attention, name, "encoder_attn", False)
            self.linear(layer.ffn.linear_0, f"{name}/fc1")
            self.linear(layer.ffn.linear_1, f"{name}/fc2")
            self.norm(layer.ffn.layer_norm, f"{name}/final_layer_norm")


def convert(folder, out):
    from ctranslate2.specs import common_spec, transformer_spec
    config = settings_of(folder)
    activations = {"swish": "SWISH", "silu": "SWISH", "relu": "RELU", "gelu": "GELU"}
    if config["model_type"] != "marian" or config.get("normalize_before") or config.get("normalize_embedding"):
        sys.exit(f"{folder}: expected a Marian model with its norms behind the layers")
    spec = transformer_spec.TransformerSpec.from_config(
        (config["encoder_layers"], config["decoder_layers"]), config["encoder_attention_heads"],
        pre_norm=False, activation=common_spec.Activation[activations[config["activation_function"]]])
    encoder, decoder = Graph(folder / "encoder_model.onnx"), Graph(folder / "decoder_model.onnx")
    encoder.stack(spec.encoder)
    decoder.stack(spec.decoder)
    for part in (spec.encoder, spec.decoder):
        part.scale_embeddings = bool(config["scale_embedding"])
    table = ("/embed_tokens/Gather", "/shared/Gather")
    spec.encoder.embeddings[0].weight = encoder.used_by("Gather", table, 0)
    spec.decoder.embeddings.weight = decoder.used_by("Gather", table, 0)  # equal ones are stored once
    spec.decoder.projection.weight = np.ascontiguousarray(decoder.used_by("MatMul", "lm_head/MatMul", 1).T)
    bias = decoder.tensor("final_logits_bias").reshape(-1).copy()
    bias[[word[0] for word in config.get("bad_words_ids") or [] if len(word) == 1]] = -1e9
    spec.decoder.projection.bias = bias
    words = Tokens(folder).words
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.decoder_start_token = words[config["decoder_start_token_id"]]
    spec.config.eos_token, spec.config.unk_token = words[config["eos_token_id"]], "<unk>"
    spec.config.add_source_eos = False  # Tokens adds it
    spec.validate()
    spec.optimize()
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    # What a step reads, in 32 bits: matrices, biases and norms, but of the other tables only some rows.
    step = Graph(folder / "decoder_with_past_model.onnx")
    matrices = [step.constant(node.input[1]) for node in step.nodes
                if node.op_type == "MatMul" and step.is_constant(node.input[1])]
    vectors = [array for array in step.tensors.values()
               if array.dtype.kind == "f" and array.size == max(array.shape, default=0)]
    print(json.dumps({"step_bytes": 4 * sum(array.size for array in matrices + vectors)}))


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "convert":
        convert(pathlib.Path(rest[0]), pathlib.Path(rest[1]))
    else:
        serve(kind, rest[0], *map(int, rest[1:]))
