"""Keras on TensorFlow; products and functions are TensorFlow's own."""

from __future__ import annotations

import keras
import tensorflow as tf
from tasks import Elementwise, Matmul, Memory, Prediction, Training

from adapters import Adapter, Function, UnsupportedError
from adapters.keras_api import Fit, sequential

FUNCTIONS = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "exp": tf.exp, "relu": tf.nn.relu}


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "tensorflow": tf.__version__}

    def training(self, task: Training) -> WholeEpochs:
        return WholeEpochs(task)

    def matmul(self, task: Matmul) -> Function:
        a, b = (tf.cast(tf.constant(array), task.dtype) for array in task.operands())
        transpose_a, transpose_b = task.transposes
        return lambda: tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)

    def elementwise(self, task: Elementwise) -> Function:
        if task.function not in FUNCTIONS:
            raise UnsupportedError(f"{task.function} is not measured")
        x, function = tf.constant(task.operand()), FUNCTIONS[task.function]
        return lambda: function(x)

    def prediction(self, task: Prediction) -> Function:
        model, x = sequential(keras, task.workload), task.operand()
        model.set_weights(task.workload.weights())
        signature = tf.TensorSpec(x.shape, tf.float32)
        predict = tf.function(lambda rows: model(rows, training=False)).get_concrete_function(
            signature
        )
        return lambda: predict(tf.constant(x)).numpy()


class WholeEpochs(Fit):
    """As many steps at a time inside TensorFlow as an epoch has; compiled once.

    Batches that TensorFlow keeps are faster than arrays, but a copy.
    """

    def __init__(self, task: Training) -> None:
        super().__init__(keras, task, hidden=task.dtype)  # Keras: the last layer in float32
        if not isinstance(task, Memory):
            rows = tf.data.Dataset.from_tensor_slices((self.x, self.y))
            batches = rows.batch(task.workload.batch_size, drop_remainder=True)
            self.arguments = {"x": batches.cache().prefetch(tf.data.AUTOTUNE)}
        self.compile(steps_per_execution=task.steps)
        self.model.optimizer.build(self.model.trainable_variables)
        self.fresh = [variable.numpy() for variable in self.model.optimizer.variables]

    def reset(self) -> None:
        self.model.set_weights(self.task.workload.weights())
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
