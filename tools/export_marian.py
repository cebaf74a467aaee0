"""A MarianMT model with seeded weights, as files like those that Hugging Face's exporter writes.

What tools/export calls for marian-base. With random weights no translation ends by itself, so the end
token has a bias that rules it out: how long a translation gets is up to --max-length.
"""

import json
import pathlib
import sys
import warnings

import sentencepiece
import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache, MarianConfig, MarianMTModel

SENTENCES = pathlib.Path(__file__).parent / "benchmarks" / "sentences.txt"
END, UNKNOWN = 0, 1
NEVER = -1e4  # added to a logit
CACHE_KINDS = ("decoder.key", "decoder.value", "encoder.key", "encoder.value")


class Encoder(nn.Module):
    def __init__(self, marian):
        super().__init__()
        self.model = marian.model

    def forward(self, input_ids, attention_mask):
        return self.model.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]


class FirstStep(nn.Module):
    """Decodes from the encoder's output and makes the caches."""

    def __init__(self, marian):
        super().__init__()
        self.model, self.lm_head = marian.model, marian.lm_head
        self.register_buffer("final_logits_bias", marian.final_logits_bias)

    def decode(self, input_ids, hidden, mask, cache):
        out = self.model.decoder(input_ids=input_ids, encoder_hidden_states=hidden,
                                 encoder_attention_mask=mask, past_key_values=cache, use_cache=True)
        return self.lm_head(out[0]) + self.final_logits_bias

    def forward(self, encoder_attention_mask, input_ids, encoder_hidden_states):
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits = self.decode(input_ids, encoder_hidden_states, encoder_attention_mask, cache)
        layers = zip(cache.self_attention_cache.layers, cache.cross_attention_cache.layers)
        return logits, *(x for own, cross in layers
                         for x in (own.keys, own.values, cross.keys, cross.values))


class NextStep(FirstStep):
    """Decodes one token from the caches; those of the encoder stay as they are."""

    def forward(self, encoder_attention_mask, input_ids, *past):
        cache = EncoderDecoderCache([past[i:i + 4] for i in range(0, len(past), 4)])
        # The decoder looks at its encoder's output for the size alone.
        hidden = torch.zeros(1, 1, 1)
        logits = self.decode(input_ids, hidden, encoder_attention_mask, cache)
        return logits, *(x for own in cache.self_attention_cache.layers for x in (own.keys, own.values))


def lively(model):
    """Weights under which attention looks around and the logits differ."""
    for name, parameter in model.named_parameters():
        if "embed_positions" in name:
            continue  # sines
        if "layer_norm" in name and name.endswith("weight"):
            nn.init.normal_(parameter, mean=1.0, std=0.1)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
        else:  # the last token must count, but not predict itself: otherwise one token is repeated for ever
            gain = 4 if "fc2" in name else 0.3 if "out_proj" in name else 1
            nn.init.normal_(parameter, std=gain * parameter.shape[-1] ** -0.5)
    model.final_logits_bias[0, END] = NEVER


def write_tokenizer(folder, vocabulary):
    """A small SentencePiece model, and a vocab.json filled up with words that no text has."""
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "source"), vocab_size=min(1000, vocabulary),
        hard_vocab_limit=False, character_coverage=1.0, minloglevel=2)
    (folder / "source.vocab").unlink()
    source = folder / "source.model"
    source.rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    words = ["</s>", "<unk>"] + [piece for piece in pieces if piece not in ("<s>", "</s>", "<unk>")]
    words = words[:vocabulary - 1]
    words += [f"\u2581word{i}" for i in range(len(words), vocabulary - 1)] + ["<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)},
                                                  ensure_ascii=False, indent=1), encoding="utf-8")


def write_settings(folder, config):
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n")
    generation = {"bad_words_ids": [[config.pad_token_id]], "decoder_start_token_id": config.pad_token_id,
                  "eos_token_id": END, "max_length": config.max_position_embeddings,
                  "pad_token_id": config.pad_token_id}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    tokenizer = {"clean_up_tokenization_spaces": False, "eos_token": "</s>", "pad_token": "<pad>",
                 "unk_token": "<unk>", "separate_vocabs": False, "source_lang": "en", "target_lang": "xx",
                 "model_max_length": config.max_position_embeddings, "tokenizer_class": "MarianTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")


def write_graph(folder, name, module, inputs, outputs, axes, opset):
    print(f"exporting {folder / name}", file=sys.stderr)
    torch.onnx.export(module, tuple(inputs.values()), str(folder / name), input_names=list(inputs),
                      output_names=outputs, opset_version=opset, dynamo=False,
                      dynamic_axes={key: axes(key) for key in [*inputs, *outputs]})


def axes_of(name, grown):
    if name == "logits" or name == "input_ids":
        return {0: "batch_size", 1: "decoder_sequence_length"}
    if ".decoder." in name:
        return {0: "batch_size", 2: grown if name.startswith("present") else "past_decoder_sequence_length"}
    if ".encoder." in name:
        return {0: "batch_size", 2: "encoder_sequence_length"}
    return {0: "batch_size", 1: "encoder_sequence_length"}


def export(a):
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    torch.manual_seed(a.seed)
    config = MarianConfig(
        vocab_size=a.vocabulary, d_model=a.width, encoder_layers=a.layers, decoder_layers=a.layers,
        encoder_attention_heads=a.heads, decoder_attention_heads=a.heads, encoder_ffn_dim=a.ffn,
        decoder_ffn_dim=a.ffn, max_position_embeddings=512, activation_function="swish",
        scale_embedding=True, pad_token_id=a.vocabulary - 1, decoder_start_token_id=a.vocabulary - 1,
        eos_token_id=END, forced_eos_token_id=None, attn_implementation="eager")
    config.architectures = ["MarianMTModel"]
    model = MarianMTModel(config).eval()
    a.out.mkdir(parents=True, exist_ok=True)
    write_tokenizer(a.out, a.vocabulary)
    write_settings(a.out, config)
    caches = [f"{i}.{kind}" for i in range(a.layers) for kind in CACHE_KINDS]
    present = [f"present.{cache}" for cache in caches]
    grown = [name for name in present if ".decoder." in name]
    with torch.no_grad():
        lively(model)
        source = torch.randint(2, a.vocabulary - 1, (2, 7))
        mask = torch.ones_like(source)
        mask[1, 5:] = 0
        target = torch.randint(2, a.vocabulary - 1, (2, 3))
        write_graph(a.out, "encoder_model.onnx", Encoder(model),
                    {"input_ids": source, "attention_mask": mask}, ["last_hidden_state"],
                    lambda name: {0: "batch_size", 1: "encoder_sequence_length"}, a.opset)
        hidden = Encoder(model)(source, mask)
        first = FirstStep(model).eval()
        inputs = {"encoder_attention_mask": mask, "input_ids": target, "encoder_hidden_states": hidden}
        write_graph(a.out, "decoder_model.onnx", first, inputs, ["logits", *present],
                    lambda name: axes_of(name, "decoder_sequence_length"), a.opset)
        past = dict(zip((f"past_key_values.{cache}" for cache in caches), first(*inputs.values())[1:]))
        inputs = {"encoder_attention_mask": mask, "input_ids": target[:, :1], **past}
        write_graph(a.out, "decoder_with_past_model.onnx", NextStep(model).eval(), inputs, ["logits", *grown],
                    lambda name: axes_of(name, "past_decoder_sequence_length + 1"), a.opset)
