"""Makes the files in tests/runtime/tokens: what Python's tokenizers say about a sample of texts.

    python tests/runtime/make_token_goldens.py     (with transformers 4.57 and sentencepiece 0.2.3)

marian.jsonl     MarianTokenizer over examples/translate
lang.jsonl       MarianTokenizer over lang/, a folder with language codes, an added token that strips, a vocabulary that
                 lacks pieces and has some that the model lacks, and two SentencePiece models
*.model          small SentencePiece models, trained here on the sample; NAME.jsonl what they say

A line: {"hex": text's bytes, "ids": [...], "text": ids decoded}; without "hex": ids that no text gives. Texts that are
not UTF-8 are given to Python with errors="replace".
"""
import json
import pathlib
import random
import tempfile

import sentencepiece
from transformers import MarianTokenizer

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "tokens"
TRANSLATE = HERE.parents[1] / "examples" / "translate"

SENTENCES = """
The quick brown fox doesn't jump over the lazy dog.
Where can I buy a ticket, please?
It's 5 o'clock; she'd rather have stayed at home, wouldn't she?
"Quotes" — dashes – and … dots; prices: £3.50, €20,00, $1,000.99!
Please e-mail me at someone@example.org or visit https://example.org/a?b=c&d=%20#e.
Über den Wolken muss die Freiheit wohl grenzenlos sein, sagte die Müllerin aus Ängelholm.
Die Straße nach Weißenfels ist gesperrt. STRASSE, Straße, straẞe.
Ça été déjà reçu à l'hôtel où l'œuvre naïve fut exposée.
El niño pingüino comió jalapeños en Cádiz. ¿De verdad? ¡Sí!
Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'da ılık ılık.
Tiếng Việt có nhiều dấu thanh điệu.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Щастя — це коли тебе розуміють, їжак і ґанок.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Άλφα, ΒΗΤΑ, γάμμας.
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر
اَلْعَرَبِيَّةُ ١٢٣٤ ۵۶۷
דג סקרן שט בים מאוכזב ולפתע מצא לו חברה. שָׁלוֹם
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश हुआ।
বাংলা ভাষা, தமிழ் மொழி, తెలుగు
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า
天地玄黃，宇宙洪荒。我今天去了北京大学。
いろはにほへと ちりぬるを。東京タワーへ行きました。ｶﾀｶﾅ ガギグゲゴ
키스의 고유조건은 입술끼리 만나야 하고. 한글 조합: 한글
ქართული ენა, հայերեն լեզու, ትግርኛ
👩‍👩‍👧‍👦 family, 👍🏽 thumbs, 🇩🇪🇬🇧 flags, 🏳️‍🌈 and ☺️ ☺
e\u0301 vs é, n\u0303, a\u030a\u0301, Z\u0351\u036b\u0343a\u036a\u0303l\u033ago\u0321
ﬁne ﬂow oﬃce ﬅ Ǆ ǆ Ŀ ŉ ſ
ＦＵＬＬ　ｗｉｄｔｈ　１２３！（ａ＋ｂ）＝ｃ
① ② ⅓ ½ x² H₂O ™ ℃ № ㎏ ㍿ ℌ 𝓗𝓮𝓵𝓵𝓸 𝟙𝟚𝟛
0123456789 1234567890123456789012345678901234567890 3.14159 1e-9
a\tb\t\tc
  leading and trailing  
many     spaces      inside
non\u00a0breaking\u00a0\u00a0space and\u202fnarrow\u2009thin\u3000wide
zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060word
soft\u00adhyphen, left\u200eto\u200fright \u202aembedding\u202c
control\u0001\u0002\u0007\u001b[31mred\u001b[0m\u007f\u0085
nul\u0000inside
line\u2028separator\u2029paragraph\u000bvertical\u000cfeed\rreturn
▁the space symbol▁itself ▁ ▁▁ x▁
<unk> <s> </s> <pad> <0x41> <0xE2>
one</s>two</s></s> <pad><unk>three <</s>> <<pad>
</s>
a </s> b
>>de<< Hello there.
>>deu<<Hello
 >>de<< Hello
>>de Hello
text >>de<< inside
>><< empty
>>a<<b<<c
.
...
!?
I
\ufffd already replaced \ufffd
\U0010ffff \ue000 \ufdd0 \U000e0001
ÀÈÌÒÙ àèìòù ÄËÏÖÜ ÿ Ÿ
x . y , z ? don 't I 'm he 's we 've they 're
""".strip("\n").split("\n")


def sample():
    texts = [unescape(line) for line in SENTENCES]
    texts += ["", " ", "   ", "\t", "\u3000", "\u200b", "\u00ad", "a" * 300, "Donaudampfschifffahrt" * 40, "東" * 200,
              "\u00e9" * 100, "x " * 200, "😀" * 50]
    random.seed(1)
    alphabet = [c for text in texts[:60] for c in text]
    texts += ["".join(random.choices(alphabet, k=random.randint(1, 40))) for _ in range(120)]
    blobs = [text.encode("utf-8") for text in texts]
    blobs += [b"\xff", b"\x80abc", b"abc\xe2\x96", b"abc\xe2\x96 def", b"\xc0\xaf", b"\xed\xa0\x80x", b"\xf4\x90\x80\x80",
              b"\xf0\x9f\x98", b"caf\xe9 au lait", b"\xe2\x28\xa1", b"a\xf8\x88\x80\x80\x80b", b"\xc3", b"\xfe\xff\x00a",
              b"ok \xc3\xa4 bad \xc3 ok", b"\xf0\x80\x80\x80", b"\xe0\x80\xaf", b"\xf1\x80\x80x"]
    blobs += [bytes(random.choices(range(256), k=random.randint(1, 30))) for _ in range(60)]
    return blobs


def unescape(line):
    for letter, length in (("U", 8), ("u", 4)):
        while (at := line.find("\\" + letter)) >= 0:
            line = line[:at] + chr(int(line[at + 2:at + 2 + length], 16)) + line[at + 2 + length:]
    return line.replace("\\t", "\t").replace("\\r", "\r")


def write(name, rows):
    with open(OUT / name, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


def marian(folder, blobs):
    tokenizer = MarianTokenizer.from_pretrained(folder)
    size = len(tokenizer.encoder)
    random.seed(2)
    rows = []
    for blob in blobs:
        ids = tokenizer(blob.decode("utf-8", "replace"))["input_ids"]
        assert ids[-1] == tokenizer.eos_token_id
        rows.append({"hex": blob.hex(), "ids": ids[:-1], "text": tokenizer.decode(ids, skip_special_tokens=True)})
    for _ in range(200):
        ids = random.choices(range(size), k=random.randint(1, 12))
        rows.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=True)})
    return rows


def plain(processor, blobs):
    random.seed(3)
    rows = []
    for blob in blobs:
        ids = processor.encode(blob.decode("utf-8", "replace"))
        rows.append({"hex": blob.hex(), "ids": ids, "text": processor.decode(ids)})
    for _ in range(200):
        ids = random.choices(range(processor.get_piece_size()), k=random.randint(1, 12))
        rows.append({"ids": ids, "text": processor.decode(ids)})
    return rows


def train(name, **options):
    texts = [blob.decode("utf-8", "replace").replace("\0", "") for blob in sample()[:16]] * 3
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(texts), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=f"{folder}/m", minloglevel=2, hard_vocab_limit=False, num_threads=1,
            **options)
        # Where the corpus lay is nobody's business.
        from sentencepiece import sentencepiece_model_pb2
        proto = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(f"{folder}/m.model").read_bytes())
        proto.trainer_spec.ClearField("input")
        proto.trainer_spec.ClearField("model_prefix")
        (OUT / f"{name}.model").write_bytes(proto.SerializeToString())
    return sentencepiece.SentencePieceProcessor(model_file=str(OUT / f"{name}.model"))


def language_folder(blobs):
    """source.spm and target.spm differ; vocab.json has some pieces of both, codes, and texts of no model."""
    folder = OUT / "lang"
    folder.mkdir(exist_ok=True)
    source, target = OUT / "unigram.model", OUT / "bpe_bytes.model"
    (folder / "source.spm").write_bytes(source.read_bytes())
    (folder / "target.spm").write_bytes(target.read_bytes())
    random.seed(4)
    words = ["</s>", "<unk>", ">>de<<", ">>deu<<", "<sep>", "한글", "👍🏽", "👍", "北", "ꙮ"]
    for model in (source, target):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        words += [piece for piece in pieces if random.random() < 0.9]
    words = list(dict.fromkeys(words)) + ["<pad>"]
    # Ids in another order than the file's, with gaps.
    ids = iter(random.sample(range(1, len(words) + 20), len(words)))
    table = {"</s>": 0, "<unk>": len(words) + 21, "<pad>": len(words) + 22}
    table |= {word: next(ids) for word in words if word not in table}
    assert len(set(table.values())) == len(table)
    (folder / "vocab.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    token = lambda text, **flags: {"content": text, "lstrip": False, "rstrip": False, "single_word": False,
                                   "normalized": False, "special": True, **flags}
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "added_tokens_decoder": {str(table[text]): token(text, **flags) for text, flags in
                                 (("</s>", {}), ("<unk>", {}), ("<pad>", {}), ("<sep>", {"lstrip": True, "rstrip": True}))},
        "clean_up_tokenization_spaces": True, "additional_special_tokens": ["<sep>"],
        "source_lang": "en", "target_lang": "de", "tokenizer_class": "MarianTokenizer"}, indent=1))
    extra = [b"one <sep> two", b"<sep>", b" <sep>  x<sep>y  ", "a\u3000<sep>\u00a0b".encode(), ">>de<< 北 👍 👍🏽 ꙮꙮ ꙮ 한글".encode()]
    return marian(folder, blobs + extra)


def main():
    OUT.mkdir(exist_ok=True)
    blobs = sample()
    write("marian.jsonl", marian(TRANSLATE, blobs))
    models = {
        "unigram": dict(model_type="unigram", vocab_size=420, character_coverage=0.98, normalization_rule_name="identity"),
        "unigram_bytes": dict(model_type="unigram", vocab_size=640, byte_fallback=True, character_coverage=0.98,
                              normalization_rule_name="identity", user_defined_symbols=["<sep>", "don't"],
                              remove_extra_whitespaces=False),
        "bpe": dict(model_type="bpe", vocab_size=420, character_coverage=0.98, normalization_rule_name="identity",
                    treat_whitespace_as_suffix=True, control_symbols=["<lang>"]),
        "bpe_bytes": dict(model_type="bpe", vocab_size=640, byte_fallback=True, character_coverage=0.98,
                          normalization_rule_name="identity", add_dummy_prefix=False, pad_id=3),
    }
    for name, options in models.items():
        write(f"{name}.jsonl", plain(train(name, **options), blobs))
    write("lang.jsonl", language_folder(blobs))


if __name__ == "__main__":
    main()
