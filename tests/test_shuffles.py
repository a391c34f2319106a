"""The shuffle of samples against NumPy's own: order and state."""

import numpy as np
import pytest

from fastnn._native.shuffles import shuffle


def states(seed):
    """Old and new, and of both kinds of words: 32 and 64 bits."""
    return [
        np.random.RandomState(seed),
        np.random.RandomState(np.random.PCG64(seed)),
        np.random.default_rng(seed),
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 1025, 70_000])
def test_order_and_state_are_numpys(n):
    for ours, numpys in zip(states(n), states(n), strict=True):
        first, second = np.arange(n), np.arange(n)
        for _ in range(3):
            shuffle(first, ours)
            numpys.shuffle(second)
            np.testing.assert_array_equal(first, second)
        assert ours.bytes(4) == numpys.bytes(4)
        assert ours.standard_normal() == numpys.standard_normal()


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_parts_are_shuffled_one_after_the_other(n):
    for ours, numpys in zip(states(n), states(n), strict=True):
        orders, expected = np.tile(np.arange(n), 3), [np.arange(n) for _ in range(3)]
        shuffle(orders, ours, n)
        for order in expected:
            numpys.shuffle(order)
        np.testing.assert_array_equal(orders, np.concatenate(expected))
        assert ours.bytes(4) == numpys.bytes(4)


def test_other_arrays_are_refused():
    state = np.random.RandomState(0)
    for size, part in ((8, 3), (8, 0), (1, 3)):
        with pytest.raises(ValueError, match=f"divisor of {size} places, got {part}"):
            shuffle(np.arange(size), state, part)
    with pytest.raises(ValueError, match="int64"):
        shuffle(np.arange(4, dtype=np.int32), state)
    with pytest.raises(ValueError, match="contiguous"):
        shuffle(np.arange(8)[::2], state)
    fixed = np.arange(8)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="written"):
        shuffle(fixed, state)
