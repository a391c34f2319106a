"""ONNX Runtime: prediction only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from tasks import Prediction

from adapters import Adapter, Function
from fastnn.cli.workloads import Array, Workload

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}
OPSET, IR_VERSION = 17, 8
PREDICTED_ROWS = 1000  # at a time, so that the activations stay in the cache


class Peer(Adapter):
    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}

    def prediction(self, task: Prediction) -> Function:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            graph(task.workload).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        x, outputs = task.operand(), task.workload.layers[-1][0]
        if task.rows == 1:
            return bound(session, x, np.empty((1, outputs), np.float32))
        parts = np.split(x, range(PREDICTED_ROWS, len(x), PREDICTED_ROWS))
        return lambda: np.concatenate([session.run(["y"], {"x": part})[0] for part in parts])


def bound(session: Any, x: Array, out: Array) -> Function:
    """The input is bound anew in each call, as it would be to another array."""
    binding = session.io_binding()
    y = onnxruntime.OrtValue.ortvalue_from_numpy(out)
    binding.bind_ortvalue_output("y", y)

    def run() -> Array:
        binding.bind_cpu_input("x", x)
        session.run_with_iobinding(binding)
        result: Array = y.numpy()
        return result

    return run


def graph(workload: Workload) -> Any:
    """The network with its first weights as an ONNX model from "x" to "y"."""
    weights, nodes, last = [], [], "x"
    for number, array in enumerate(workload.weights()):
        weights.append(numpy_helper.from_array(array, f"w{number}"))
    for op, (_, activation) in enumerate(workload.layers):
        operands = [last, f"w{2 * op}", f"w{2 * op + 1}"]
        nodes.append(helper.make_node("Gemm", operands, [f"z{op}"]))
        last = f"z{op}"
        if activation in OPERATORS:
            nodes.append(helper.make_node(OPERATORS[activation], [last], [f"a{op}"]))
            last = f"a{op}"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    rows = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", columns])
        for name, columns in (("x", workload.inputs), ("y", workload.layers[-1][0]))
    ]
    model = helper.make_graph(nodes, workload.name, rows[:1], rows[1:], weights)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(model, opset_imports=[opset], ir_version=IR_VERSION)
