"""Makes goldens.txt: what `generate` of transformers 4.57 finds with a small language model whose
scores are a formula (see score() and its twin in search_test.cpp). Needs torch and transformers:

    python make_goldens.py > goldens.txt

A line is a case: the options, then for each sentence its hypotheses, the best first.
"""
import random

import numpy
import torch
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

MASK = 0xFFFFFFFF


def mix(state, value):
    state = (state ^ value) * 0x9E3779B1 & MASK
    return state ^ state >> 15


def scores(seed, source, prefix, vocabulary, end):
    """Logits after `prefix` (start token first): 20 bits of a hash, the end token's a little more."""
    state = mix(mix(0, seed), source)
    for token in prefix:
        state = mix(state, token + 1)
    values = [(mix(mix(state, token), 77) & 0xFFFFF) / 65536 * 0.5 for token in range(vocabulary)]
    if end >= 0:
        values[end] += len(prefix) * 0.25
    return values


class ToyConfig(PretrainedConfig):
    model_type = "toy"

    def __init__(self, vocabulary=11, seed=0, end=0, **rest):
        super().__init__(is_encoder_decoder=True, **rest)
        self.vocab_size, self.seed, self.end = vocabulary, seed, end


class Toy(PreTrainedModel, GenerationMixin):
    config_class = ToyConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def get_encoder(self):
        class Encoder(torch.nn.Module):
            def forward(self, input_ids=None, **rest):
                return BaseModelOutput(last_hidden_state=input_ids[:, :, None].float())

        return Encoder()

    def prepare_inputs_for_generation(self, decoder_input_ids, encoder_outputs=None, **rest):
        return {"decoder_input_ids": decoder_input_ids, "encoder_outputs": encoder_outputs}

    def forward(self, decoder_input_ids=None, encoder_outputs=None, **rest):
        sources = encoder_outputs.last_hidden_state[:, 0, 0].int().tolist()
        rows = [scores(self.config.seed, source, prefix, self.config.vocab_size, self.config.end)
                for source, prefix in zip(sources, decoder_input_ids.tolist())]
        return Seq2SeqLMOutput(logits=torch.tensor(rows, dtype=torch.float32)[:, None, :])


def greedy_score(case, source, tokens, ended):
    """Not reported by generate: log probabilities of what was taken, as beam search counts them."""
    prefix, total = [case["start"]], numpy.float32(0)
    taken = tokens + [case["end"]] * ended
    for step, token in enumerate(taken):
        forced = (step == 0 and case["forced_start"] >= 0) or (
            step == case["max_length"] - 1 and case["forced_end"] >= 0)
        if not forced:
            row = scores(case["seed"], source, prefix, case["vocabulary"], case["end"])
            logs = torch.log_softmax(torch.tensor(row, dtype=torch.float32), 0)
            total = numpy.float32(total + numpy.float32(logs[token]))
        prefix.append(token)
    return float(total / numpy.float32(len(taken) ** case["length_penalty"]))


def expected(case, source):
    config = ToyConfig(case["vocabulary"], case["seed"], case["end"])
    end = case["end"] if case["end"] >= 0 else None
    options = dict(num_beams=case["beams"], num_return_sequences=case["n_best"],
                   max_new_tokens=case["max_length"], do_sample=False, use_cache=False,
                   decoder_start_token_id=case["start"], bos_token_id=None, eos_token_id=end,
                   pad_token_id=case["start"], return_dict_in_generate=True, output_scores=True)
    if case["beams"] > 1:
        options.update(length_penalty=case["length_penalty"],
                       early_stopping=[False, True, "never"][case["early_stopping"]])
    if case["banned"]:
        options["bad_words_ids"] = [[token] for token in case["banned"]]
    if case["forced_start"] >= 0:
        options["forced_bos_token_id"] = case["forced_start"]
    if case["forced_end"] >= 0:
        options["forced_eos_token_id"] = case["forced_end"]
    model = Toy(config).eval()
    model.generation_config = GenerationConfig(**options)
    with torch.no_grad():
        result = model.generate(torch.tensor([[source]]))
    found = []
    for i, row in enumerate(result.sequences.tolist()):
        tokens = row[1:]
        if case["beams"] > 1:  # beam_indices are -1 behind a hypothesis
            tokens = tokens[:int((result.beam_indices[i] >= 0).sum())]
        elif case["end"] in tokens:
            tokens = tokens[:tokens.index(case["end"]) + 1]
        ended = bool(tokens) and tokens[-1] == case["end"]
        tokens = tokens[:-1] if ended else tokens
        score = (float(result.sequences_scores[i]) if case["beams"] > 1
                 else greedy_score(case, source, tokens, ended))
        length = max(1, len(tokens) + ended)
        if score * length ** case["length_penalty"] > -5e8:  # else no hypothesis
            found.append((score, int(ended), tokens))
    return found


def random_case(draw):
    beams = draw.choice([1, 1, 2, 3, 4, 4, 5, 8])
    vocabulary = draw.choice([17, 20, 37, 64, 300])
    end = draw.choice([0, 0, 3, 7, -1])
    max_length = draw.choice([1, 2, 3, 7, 12, 20])
    banned = sorted(draw.sample(range(vocabulary), draw.choice([0, 0, 1, 1])))
    start = draw.choice(banned) if banned else draw.randrange(vocabulary)
    if start == end:
        start = vocabulary - 1
    return dict(
        seed=draw.randrange(1 << 30), vocabulary=vocabulary, beams=beams,
        n_best=draw.randint(1, beams), max_length=max_length,
        length_penalty=draw.choice([1.0, 1.0, 0.0, 0.625, 2.0, -0.5]),
        early_stopping=draw.choice([0, 0, 1, 2]), start=start, end=end,
        forced_start=draw.choice([-1, -1, -1, 5]),
        forced_end=end if end >= 0 and draw.random() < 0.5 else -1,
        banned=[token for token in banned if token != 5])


def main():
    draw = random.Random(4)
    for _ in range(160):
        case = random_case(draw)
        fields = [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
                  for name, value in case.items()]
        print(" ".join(fields))
        for source in range(1, 4):
            for score, ended, tokens in expected(case, source):
                print(f"  {source} {score:.9g} {ended} {' '.join(map(str, tokens))}".rstrip())


main()
