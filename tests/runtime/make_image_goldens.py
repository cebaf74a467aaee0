#!/usr/bin/env python3
"""Makes tests/runtime/images/: small PNG and JPEG files and, in expected.npz, what Pillow and transformers make
of them. The results are committed; run this only to add a case:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install pillow==13.0.0 numpy transformers==4.57.1
    /tmp/oracle/bin/python tests/runtime/make_image_goldens.py

Pillow writes neither interlaced PNG files nor most depths, so PNG files are written here. transformers 4 is the
last whose image processors compute with Pillow and NumPy alone.

Arrays of expected.npz: decode/FILE, resize/FILE/FILTER/HEIGHTxWIDTH, task/NAME/FILE.
"""

import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessor, ViTImageProcessor

FOLDER = pathlib.Path(__file__).parent / "images"
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def picture(height, width, channels, seed):
    """Smooth waves, a hard edge and noise, 0..1."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        a, b, c = random.uniform(0.05, 0.5, 3)
        plane = 0.5 + 0.3 * np.sin(a * x + c) + 0.3 * np.cos(b * y - c)
        plane[height // 3 : height // 2, width // 4 : width // 2] = channel % 2
        planes.append(plane + random.normal(0, 0.03, plane.shape))
    return np.clip(np.stack(planes, axis=-1), 0, 1)


def pack_row(row, depth):
    """Samples of one row to bytes."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :].reshape(-1)
    return np.packbits(bits).tobytes()


def paeth(a, b, c):
    p = a + b - c
    distances = abs(p - a), abs(p - b), abs(p - c)
    return (a, b, c)[distances.index(min(distances))]


def filter_rows(rows, step, random):
    """Every row with a filter type of its own, all five in use."""
    out = b""
    above = bytes(len(rows[0])) if rows else b""
    for row in rows:
        kind = int(random.integers(0, 5))
        line = bytearray()
        for i, value in enumerate(row):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))[kind]
            line.append((value - guess) & 255)
        out += bytes([kind]) + bytes(line)
        above = row
    return out


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(name, samples, depth, colour, interlaced=False, extra=b""):
    """samples: [height, width, channels] integers of `depth` bits."""
    height, width, _ = samples.shape
    random = np.random.default_rng(len(name))
    step = max(1, CHANNELS[colour] * depth // 8)
    data = b""
    for top, left, down, right in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            data += filter_rows([pack_row(row.reshape(-1), depth) for row in part], step, random)
    packed = zlib.compress(data, 9)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    half = len(packed) // 2  # in two chunks, as large files have them
    (FOLDER / name).write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"gAMA", struct.pack(">I", 45455))
        + extra
        + chunk(b"IDAT", packed[:half])
        + chunk(b"IDAT", packed[half:])
        + chunk(b"IEND", b"")
    )


def write_pngs():
    height, width = 19, 23
    for colour, kind in [(GREY, "grey"), (RGB, "rgb"), (GREY_ALPHA, "grey-alpha"), (RGBA, "rgba")]:
        image = picture(height, width, CHANNELS[colour], colour + 1)
        for depth in [1, 2, 4, 8, 16] if colour == GREY else [8, 16]:
            samples = np.round(image * ((1 << depth) - 1)).astype(np.int64)
            write_png(f"{kind}-{depth}.png", samples, depth, colour)
            if depth in (2, 8, 16) and colour in (GREY, RGB, RGBA):
                write_png(f"{kind}-{depth}-interlaced.png", samples, depth, colour, True)
    # Most values of a 16-bit grey file are beyond 255, which Pillow clips.
    dark = np.round(picture(height, width, 1, 9) * 400).astype(np.int64)
    write_png("grey-16-dark.png", dark, 16, GREY)
    colours = np.random.default_rng(7).integers(0, 256, (256, 3), dtype=np.uint8)
    for depth in [1, 2, 4, 8]:
        samples = np.round(picture(height, width, 1, depth) * ((1 << depth) - 1)).astype(np.int64)
        palette = chunk(b"PLTE", colours[: 1 << depth].tobytes())
        transparency = chunk(b"tRNS", bytes([0, 128]))
        write_png(f"palette-{depth}.png", samples, depth, PALETTE, extra=palette)
        write_png(f"palette-{depth}-transparent.png", samples, depth, PALETTE, depth == 8, palette + transparency)
        short = chunk(b"PLTE", colours[: 1 << (depth - 1)].tobytes())
        write_png(f"palette-{depth}-short.png", samples, depth, PALETTE, extra=short)
    rgb = np.round(picture(height, width, 3, 3) * 255).astype(np.int64)
    write_png("rgb-8-key.png", rgb, 8, RGB, extra=chunk(b"tRNS", struct.pack(">HHH", *rgb[0, 0])))
    # Sharp enough to show where Pillow 13 takes columns first: 13x41 and 3x18.
    noise = np.random.default_rng(8).integers(0, 256, (height, width, 3))
    write_png("noise.png", noise, 8, RGB)
    write_png("rgb-1x1.png", rgb[:1, :1], 8, RGB, True)
    write_png("rgb-column.png", rgb[:, :1], 8, RGB)


def write_jpegs():
    rgb = Image.fromarray((picture(45, 51, 3, 11) * 255).astype(np.uint8))
    for name, options in {
        "rgb-444": {"subsampling": 0},
        "rgb-422": {"subsampling": 1},
        "rgb-420": {"subsampling": 2},
        "rgb-420-progressive": {"subsampling": 2, "progressive": True},
        "rgb-444-progressive": {"subsampling": 0, "progressive": True, "optimize": True},
        "rgb-kept": {"keep_rgb": True},
        "rgb-420-restart": {"subsampling": 2, "restart_marker_blocks": 3},
    }.items():
        rgb.save(FOLDER / f"{name}.jpg", quality=90, **options)
    rgb.convert("L").save(FOLDER / "grey.jpg", quality=90)
    rgb.convert("L").save(FOLDER / "grey-progressive.jpg", quality=90, progressive=True)
    rgb.convert("CMYK").save(FOLDER / "cmyk.jpg", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: not applied
    rgb.save(FOLDER / "rgb-turned.jpg", quality=90, subsampling=0, exif=exif)


def expected():
    arrays = {}
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in (".png", ".jpg"):
            image = Image.open(file)
            one_channel = file.name.startswith("grey")
            image = image.convert("RGB")
            arrays[f"decode/{file.name}"] = np.array(image.convert("L") if one_channel else image)
    for file in ("noise.png", "grey-8.png"):
        image = Image.open(FOLDER / file)
        for name, number in FILTERS.items():
            for height, width in [(34, 41), (13, 11), (13, 41), (3, 18), (19, 11), (13, 23), (60, 7), (1, 1)]:
                key = f"resize/{file}/{name}/{height}x{width}"
                arrays[key] = np.array(image.resize((width, height), number))
    wide = Image.fromarray((picture(3, 700, 3, 5) * 255).astype(np.uint8))
    wide.save(FOLDER / "wide.png", optimize=True)
    arrays["decode/wide.png"] = np.array(wide)
    for name, number in FILTERS.items():
        arrays[f"resize/wide.png/{name}/9x23"] = np.array(wide.resize((23, 9), number))
    odd = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    processors = {
        "vit": ViTImageProcessor(size={"height": 24, "width": 20}),
        "vit-bicubic": ViTImageProcessor(size={"height": 24, "width": 20}, resample=3, **odd),
        "vit-plain": ViTImageProcessor(do_resize=False, do_normalize=False),
        "vit-bytes": ViTImageProcessor(do_resize=False, do_normalize=False, do_rescale=False),
        "vit-factor": ViTImageProcessor(do_resize=False, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3),
        "clip": CLIPImageProcessor(size={"shortest_edge": 17}, crop_size={"height": 16, "width": 15}, **odd),
        "clip-padded": CLIPImageProcessor(size={"shortest_edge": 12}, crop_size={"height": 19, "width": 13}, **odd),
        "clip-crop-only": CLIPImageProcessor(do_resize=False, crop_size={"height": 34, "width": 30}, **odd),
    }
    for name, processor in processors.items():
        for file in ("rgb-8.png", "grey-4.png", "rgb-column.png"):
            if name == "clip-padded" and file == "rgb-column.png":
                continue
            values = processor(Image.open(FOLDER / file).convert("RGB"), return_tensors="np")["pixel_values"][0]
            arrays[f"task/{name}/{file}"] = values.astype(np.float32)
    return arrays


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    write_pngs()
    write_jpegs()
    np.savez_compressed(FOLDER / "expected.npz", **expected())
    print(sum(file.stat().st_size for file in FOLDER.iterdir()), "bytes")


if __name__ == "__main__":
    main()
