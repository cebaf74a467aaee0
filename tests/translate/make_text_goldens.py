"""Makes tests/translate/en-de.json: what transformers' generate says over the graphs of examples/translate.

    python tests/translate/make_text_goldens.py     (with transformers 4.57, sentencepiece, torch and onnxruntime)

The numbers come from onnxruntime, from decoder_model.onnx over the whole target at each step: no cache is involved.
The search, greedy and with four beams, and the tokenizer are transformers'. A sentence with a close call is refused:
its smallest difference of two greedy candidates, and of the two best beams' scores, is printed and bounded.
"""
import json
import pathlib

import numpy as np
import onnxruntime
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "examples" / "translate"

SENTENCES = """
The kitchen window is open.
We have not seen the sea since last summer.
Can you tell me where the post office is?
My grandmother bakes bread every Sunday.
If it rains tomorrow, we will stay at home and play cards.
Who left the light on?
I was too tired to read the letter.
The children are waiting for the bus in front of the school.
"No," he said, "I don't know her."
This is the best coffee that I have ever had!
Run!
Last night the neighbour's dog barked for three hours, so nobody could sleep.
""".strip().split("\n")


def session(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(FOLDER / name), options, providers=["CPUExecutionProvider"])


class Encoder(torch.nn.Module):
    main_input_name = "input_ids"

    def __init__(self):
        super().__init__()
        self.graph = session("encoder_model.onnx")

    def forward(self, input_ids, attention_mask, **_):
        hidden, = self.graph.run(["last_hidden_state"], {"input_ids": input_ids.numpy(),
                                                         "attention_mask": attention_mask.numpy()})
        return BaseModelOutput(last_hidden_state=torch.from_numpy(hidden))


class Graphs(MarianMTModel):
    """The model's graphs, as generate wants to see them."""

    def __init__(self, config):
        super().__init__(config)
        self.graphs = Encoder()
        self.decoder_graph = session("decoder_model.onnx")
        self.margins = []

    def get_encoder(self):
        return self.graphs

    def forward(self, decoder_input_ids, encoder_outputs, attention_mask, **_):
        logits, = self.decoder_graph.run(["logits"], {
            "input_ids": np.ascontiguousarray(decoder_input_ids.numpy()),
            "encoder_hidden_states": np.ascontiguousarray(encoder_outputs[0].numpy()),
            "encoder_attention_mask": np.ascontiguousarray(attention_mask.numpy())})
        best = np.sort(logits[0, -1])
        self.margins.append(float(best[-1] - best[-2]))
        return Seq2SeqLMOutput(logits=torch.from_numpy(logits))


def main():
    tokenizer = MarianTokenizer.from_pretrained(FOLDER)
    model = Graphs(MarianConfig.from_pretrained(FOLDER)).eval()
    model.generation_config = model.generation_config.from_pretrained(FOLDER)
    rows = []
    for sentence in SENTENCES:
        inputs = tokenizer(sentence, return_tensors="pt")
        model.margins = []
        with torch.no_grad():
            greedy = model.generate(**inputs, num_beams=1, do_sample=False, use_cache=False, max_new_tokens=127)[0]
            margin = min(model.margins)
            beams = model.generate(**inputs, num_beams=4, num_return_sequences=2, do_sample=False, use_cache=False,
                                   max_new_tokens=127, return_dict_in_generate=True, output_scores=True)
        apart = float(beams.sequences_scores[0] - beams.sequences_scores[1])
        row = {"en": sentence, "greedy": tokenizer.decode(greedy, skip_special_tokens=True),
               "beam4": tokenizer.decode(beams.sequences[0], skip_special_tokens=True)}
        print(f"{margin:.4f} {apart:.4f}", row)
        assert margin >= 1e-2 and apart >= 1e-3, "too close a call for a test: take another sentence"
        rows.append(row)
    (HERE / "en-de.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
