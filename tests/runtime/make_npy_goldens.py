#!/usr/bin/env python3
"""Makes tests/runtime/npy/: files as NumPy and Python's zipfile write them. The results are committed; run this
with the Python of build/venv only to add a case. Array elements are 0, 1, 2, ... unless said otherwise."""

import io
import pathlib
import struct
import zipfile
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "npy"
TYPES = "f4 f8 f2 i1 u1 i2 u2 i4 u4 i8 u8".split()


def npy_bytes(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


def zip64_everywhere(name, data):
    """A stored entry whose sizes and offset stand in zip64 fields, although they are small."""
    crc, size, full = zlib.crc32(data), len(data), 0xFFFFFFFF
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 33, crc, full, full, len(name), 20)
    local += name + struct.pack("<HHQQ", 1, 16, size, size)
    extra = struct.pack("<HHI", 0xCAFE, 4, 7) + struct.pack("<HHQQQ", 1, 24, size, size, 0)
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 33, crc, full, full, len(name), len(extra), 0, 0, 0, 0, full)
    central += name + extra
    start = len(local) + size
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(central), start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + len(central), 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, full, full, 0)
    return local + data + central + end64 + locator + end


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    arrays = {name: np.arange(24).astype(name).reshape(2, 3, 4) for name in TYPES}
    arrays["bool"] = np.arange(6).reshape(2, 3) % 2 == 1
    arrays["scalar"] = np.array(7.0)
    arrays["empty"] = np.zeros((3, 0, 2), np.int64)
    arrays["vector"] = np.arange(5)
    arrays["fortran"] = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    for name in TYPES:
        arrays[f"big/{name}"] = np.arange(6).astype(">" + name).reshape(3, 2)
    np.savez(FOLDER / "stored.npz", **arrays)
    np.savez_compressed(FOLDER / "deflated.npz", **arrays)
    long = np.arange(30000, dtype=np.int32) % 97
    np.savez_compressed(FOLDER / "long.npz", long=long)
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    for major in (1, 2, 3):
        (FOLDER / f"version-{major}.npy").write_bytes(npy_bytes(matrix, (major, 0)))
    (FOLDER / "zip64.npz").write_bytes(zip64_everywhere(b"x.npy", npy_bytes(matrix)))
    stream = io.BytesIO()

    class Pipe(io.RawIOBase):  # cannot seek back: sizes go into data descriptors
        def writable(self):
            return True

        def write(self, data):
            return stream.write(data)

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment"
        with archive.open("x.npy", "w", force_zip64=True) as entry:
            entry.write(npy_bytes(matrix))
    (FOLDER / "descriptor.npz").write_bytes(stream.getvalue())
    (FOLDER / "pickle.npy").write_bytes(npy_bytes(np.array([{}], dtype=object)))
    (FOLDER / "record.npy").write_bytes(npy_bytes(np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])))
    (FOLDER / "complex.npy").write_bytes(npy_bytes(np.zeros(2, dtype="c8")))
    with zipfile.ZipFile(FOLDER / "foreign.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with zipfile.ZipFile(FOLDER / "bzip2.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", npy_bytes(matrix))
    with zipfile.ZipFile(FOLDER / "twice.npz", "w") as archive:
        archive.writestr("x.npy", npy_bytes(matrix))
        archive.writestr("x.npy", npy_bytes(matrix))


if __name__ == "__main__":
    main()
