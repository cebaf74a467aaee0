"""Write the ONNX package's own node tests as files: write_cases.py FOLDER

For each case FOLDER gets NAME.onnx, NAME.in.npz and NAME.out.npz; FOLDER/cases.txt has a line for each:

    name <tab> operator <tab> rtol <tab> atol <tab> why there are no .npz files, or nothing

.npy files have no bfloat16: its bits are written, as uint16.

Some operators take what shapes their result (axes, pads, a size) as inputs. Exporters write these as constants, the
node tests as inputs of the model: here they are constants again (PARAMETERS).
"""

import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

# The inputs, by position, that shape the result.
PARAMETERS = {"ReduceL1": [1], "ReduceL2": [1], "ReduceLogSum": [1], "ReduceLogSumExp": [1], "ReduceMax": [1],
              "ReduceMean": [1], "ReduceMin": [1], "ReduceProd": [1], "ReduceSum": [1], "ReduceSumSquare": [1],
              "CenterCropPad": [1], "ConstantOfShape": [0], "CumSum": [1], "Expand": [1], "OneHot": [1],
              "Pad": [1, 3], "Range": [0, 1, 2], "Reshape": [1], "Resize": [1, 2, 3], "Slice": [1, 2, 3, 4],
              "Split": [1], "Squeeze": [1], "Tile": [1], "TopK": [1], "Trilu": [1], "Unsqueeze": [1],
              "Upsample": [1], "Clip": [1, 2], "Dropout": [1, 2], "CumProd": [1], "Compress": [1], "NonZero": [0],
              "BlackmanWindow": [0], "HammingWindow": [0], "HannWindow": [0]}


def node_of(case, by_name):
    """What the case is about: where an operator was expanded into its function's body, the operator's node."""
    whole = by_name.get(case.name.split("_expanded")[0], case)
    return whole.model.graph.node[0]


def array_of(data):
    """An array, or what is none: a sequence, a map, an optional without value."""
    if isinstance(data, onnx.TensorProto):
        return onnx.numpy_helper.to_array(data)
    return data if isinstance(data, (list, dict)) or data is None else np.asarray(data)


def why_not(arrays):
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype == object or array.dtype.kind in "UST":
            return "programs take and give tensors of numbers, no sequences, optionals or strings"
        if array.dtype != "bfloat16" and (array.dtype.kind not in "fiub" or array.dtype.isbuiltin != 1):
            return f"element type {array.dtype}: .npy files have none such"
    return ""


def save(file, arrays):
    np.savez(file, **{name: array.view(np.uint16) if array.dtype == "bfloat16" else array
                      for name, array in arrays.items()})


def fix_parameters(graph, nodes, given):
    for node in nodes:
        for i in PARAMETERS.get(node.op_type, []):
            name = node.input[i] if i < len(node.input) else ""
            if name in given:
                graph.initializer.append(onnx.numpy_helper.from_array(given.pop(name), name))
                kept = [value for value in graph.input if value.name != name]
                del graph.input[:]
                graph.input.extend(kept)


def write(case, by_name, folder):
    graph = case.model.graph
    inputs, outputs = ([array_of(data) for data in side] for side in case.data_sets[0])
    given = {value.name: array for value, array in zip(graph.input, inputs) if array is not None}
    wanted = {value.name: array for value, array in zip(graph.output, outputs)}
    node = node_of(case, by_name)
    reason = why_not([*given.values(), *wanted.values()])
    if not reason:
        fix_parameters(graph, [node, *graph.node], given)
        save(folder / f"{case.name}.in.npz", given)
        save(folder / f"{case.name}.out.npz", wanted)
    (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString(deterministic=True))
    return f"{case.name}\t{node.op_type}\t{case.rtol}\t{case.atol}\t{reason}\n"


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cases that test what overflows
        cases = sorted(collect_testcases(None), key=lambda case: case.name)
        by_name = {case.name: case for case in cases}
        lines = [write(case, by_name, folder) for case in cases]
    (folder / "cases.txt").write_text("".join(lines))


main()
