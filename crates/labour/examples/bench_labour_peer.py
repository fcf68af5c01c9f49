"""The peer of `bench_labour`: onnxruntime's Python binding on the same networks and inputs, one at a time.

    python3 -m pip install onnxruntime==1.27.0 numpy
    cargo run --release -p labour --example bench_labour -- FOLDER
    python3 bench_labour_peer.py FOLDER

One JSON line a figure. The answers are compared with ours.
"""

import json
import os
import sys
import time

import numpy
import onnxruntime

#: How many of each are computed.
PIECES = 120


def figure(name, value, unit):
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit}))


def rate(session, inputs):
    """How many answers in a second, one after the other, and the last of them."""
    for _ in range(10):
        (answer,) = session.run(None, inputs)
    started = time.perf_counter()
    for _ in range(PIECES):
        (answer,) = session.run(None, inputs)
    return PIECES / (time.perf_counter() - started), answer


def session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def main():
    folder = sys.argv[1]
    numbers = lambda name: numpy.fromfile(f"{folder}/{name}.f32", dtype="<f4")
    picture = {"picture": numbers("vision").reshape(1, 3, 224, 224)}
    figure("peer.vision.one_thread", rate(session(f"{folder}/vision.onnx", 1), picture)[0], "1/s")
    cores = os.cpu_count() or 1
    figure("peer.vision.all_threads", rate(session(f"{folder}/vision.onnx", cores), picture)[0], "1/s")
    rows = {"rows": numbers("meaning").reshape(-1, 384)}
    many, answer = rate(session(f"{folder}/meaning.onnx", 1), rows)
    assert numpy.allclose(answer, numbers("meaning.answer"), atol=1e-5), "the peer means something else"
    figure("peer.meaning.one_thread", many, "1/s")


if __name__ == "__main__":
    main()
