"""The other sides of tools/bench models; runs in the environment that models.py sets up.

    model_peers.py inputs MODEL OUT.npz NAME=N,...       makes inputs up
    model_peers.py onnxruntime MODEL IN.npz THREADS OUT.npz
    model_peers.py openvino MODEL IN.npz THREADS OUT.npz
    model_peers.py compare A.npz B.npz                   prints the greatest difference

The engines write their outputs, print "ready", then answer each line of standard input, a number of runs, with
a JSON list of so many seconds; one more run before is not counted.
"""

import json
import sys
import time

import numpy as np


def make_inputs(model, out, sizes):
    import onnx
    known = dict(pair.split("=") for pair in sizes.split(",") if pair)
    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    random, arrays = np.random.default_rng(1), {}
    for value in graph.input:
        if value.name in weights:
            continue
        kind = value.type.tensor_type
        shape = [int(dim.dim_value or known.get(dim.dim_param, 1)) for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        floating = np.issubdtype(dtype, np.floating)
        arrays[value.name] = (random.standard_normal(shape) if floating else np.ones(shape)).astype(dtype)
    np.savez(out, **arrays)


def with_onnxruntime(model, inputs, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, inputs)))


def with_openvino(model, inputs, threads):
    import openvino
    compiled = openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()

    def run():
        found = request.infer(inputs, share_inputs=True, share_outputs=True)
        return {output.any_name: found[output] for output in compiled.outputs}
    return run


def serve(run, out):
    np.savez(out, **run())
    print("ready", flush=True)
    for line in sys.stdin:
        run()
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        print(json.dumps(seconds), flush=True)


what, *words = sys.argv[1:]
if what == "inputs":
    make_inputs(*words)
elif what == "compare":
    first, second = (np.load(name) for name in words)
    print(json.dumps(max(float(np.max(np.abs(first[name].astype(float) - second[name]))) for name in second.files)))
else:
    model, inputs, threads, out = words
    make = {"onnxruntime": with_onnxruntime, "openvino": with_openvino}[what]
    serve(make(model, dict(np.load(inputs)), int(threads)), out)
