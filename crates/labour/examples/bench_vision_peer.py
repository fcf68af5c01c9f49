"""The peer of `bench_vision`: onnxruntime's Python binding on the same network and input.

    python3 -m pip install onnxruntime==1.27.0 numpy
    cargo run --release -p labour --example bench_vision -- FOLDER
    python3 bench_vision_peer.py FOLDER [THREADS]

One JSON line a figure: medians, milliseconds; of the network also the least. The best class must be the same.
"""

import json
import statistics
import sys
import time

import numpy
import onnxruntime


def figure(name, value, unit):
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit}))


def main():
    folder = sys.argv[1]
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        f"{folder}/network.onnx", options, providers=["CPUExecutionProvider"]
    )
    picture = numpy.fromfile(f"{folder}/input.f32", dtype="<f4").reshape(1, 3, 224, 224)
    inputs = {"picture": picture}
    for _ in range(10):
        (logits,) = session.run(None, inputs)
    times = []
    for _ in range(101):
        started = time.perf_counter()
        (logits,) = session.run(None, inputs)
        times.append((time.perf_counter() - started) * 1e3)
    figure("peer.onnxruntime.threads", threads, "threads")
    figure("peer.onnxruntime.network", statistics.median(times), "ms")
    figure("peer.onnxruntime.network.least", min(times), "ms")
    figure("peer.onnxruntime.network.best_class", int(logits.argmax()), "class")


if __name__ == "__main__":
    main()
