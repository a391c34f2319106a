"""Fit a sigmoid to five points by gradient descent: plain NumPy, then fastnn, the same numbers.

docs/sigmoid-regression.md derives the gradient.
"""

import numpy as np

from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from fastnn.optimizers import SGD

X = np.array([[1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4], [1, 0.5]])  # a column of ones, and x
y = np.array([[0.2], [0.4], [0.6], [0.8], [1.0]])
LEARNING_RATE, EPOCHS = 0.5, 1000


def numpy_losses() -> list[float]:
    """The loss before each step, with the gradient written out."""
    w = np.zeros((2, 1))
    losses = []
    for _ in range(EPOCHS):
        p = 1 / (1 + np.exp(-X @ w))
        losses.append(float(np.mean((p - y) ** 2)))
        dz = 2 / len(y) * (p - y) * p * (1 - p)
        w -= LEARNING_RATE * (X.T @ dz)
    return losses


def fastnn_losses(features: np.ndarray, use_bias: bool) -> list[float]:
    """The same by a network of one sigmoid unit; all five points are one batch."""
    model = Sequential([Input((features.shape[1],))])
    model.add(Dense(1, activation="sigmoid", use_bias=use_bias, kernel_initializer="zeros"))
    model.compile(SGD(learning_rate=LEARNING_RATE), loss="mse")
    history = model.fit(features, y, epochs=EPOCHS, batch_size=len(y), verbose=0)
    return history.history["loss"]


def main() -> None:
    plain = numpy_losses()
    ones = fastnn_losses(X, use_bias=False)  # the weight of the column of ones is the bias
    bias = fastnn_losses(X[:, 1:], use_bias=True)  # the layer's own bias in its place
    print("epoch    NumPy       fastnn      fastnn, own bias")
    for epoch in (1, 2, 5, 10, 100, 1000):
        losses = (plain[epoch - 1], ones[epoch - 1], bias[epoch - 1])
        print(f"{epoch:5d}", *(f"{loss:.6f}" for loss in losses), sep="    ")


if __name__ == "__main__":
    main()
