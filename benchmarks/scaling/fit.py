"""The model's constants from measured steps, and how far off it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.cli.workloads import Workload
from scaling.model import (
    NAMES,
    Array,
    Machine,
    Plan,
    amounts,
    rows_phase,
    serial_sums,
    step_amounts,
    weights_phase,
)

Json = dict[str, Any]


def machine_here(measured: Json) -> Machine:
    """The machine that was measured, one node."""
    cores = max(int(count) for count in measured["fma_peak"])
    steps, apart = measured["step_1x1"], measured["cores_per_l3"] < cores
    # Two barriers, each of as many arrivals as threads, and the line that says go on.
    line = (steps[str(cores)] - steps["1"]) / 2 / (cores + 1) if cores > 1 else 0.0
    return Machine(
        cores=cores,
        nodes=1,
        peak=measured["fma_peak"]["1"],
        cores_per_l3=measured["cores_per_l3"],
        l2=measured["l2"],
        l3=measured["l3"],
        core_memory=measured["copy_memory"]["1"],
        node_memory=measured["copy_memory"][str(cores)],
        node_link=math.inf,
        line_near=0.0 if apart else line,
        line_far=line if apart else 0.0,
        line_node=0.0,
    )


def equation(work: Workload, observation: Json, machine: Machine) -> tuple[Array, float]:
    """What an observation has of each term, and the seconds that need no constant."""
    rows, kind, plan = observation["rows"], observation["kind"], Plan(observation["threads"])
    if kind == "update":
        return weights_phase(work, 0, plan, machine) + amounts(python=1), 0.0
    if kind == "forward":
        return rows_phase(work, rows, plan, machine, True) + amounts(python=1), 0.0
    known = 2 * machine.barrier(plan.threads, False) + serial_sums(rows, plan, machine)
    return step_amounts(work, rows, plan, machine), known


def non_negative(matrix: Array, target: Array) -> Array:
    """Least squares with coefficients of at least 0, by Lawson and Hanson's active sets (1974)."""
    solution = np.zeros(matrix.shape[1])
    used = np.zeros(len(solution), bool)
    while True:
        gradient = np.where(used, 0.0, matrix.T @ (target - matrix @ solution))
        if gradient.max() <= 1e-12:
            return solution
        used[gradient.argmax()] = True
        while True:
            free = np.zeros(len(solution))
            free[used] = np.linalg.lstsq(matrix[:, used], target, rcond=None)[0]
            below = used & (free <= 0)
            if not below.any():
                break
            step = (solution[below] / (solution[below] - free[below])).min()
            solution += step * (free - solution)
            used &= solution > 1e-15
            solution[~used] = 0.0
        solution = free


def fit(
    works: dict[str, Workload], observations: Sequence[Json], machine: Machine
) -> dict[str, float]:
    """Constants with the least squares of relative errors; arithmetic takes at least its time."""
    rows = [equation(works[o["workload"]], o, machine) for o in observations]
    measured = np.array([o["seconds"] for o in observations])
    matrix = np.array([row for row, _ in rows])
    known = np.array([seconds for _, seconds in rows]) + matrix[:, NAMES.index("fma")]
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-300)
    theta = non_negative(matrix / scale / measured[:, None], 1 - known / measured) / scale
    constants = dict(zip(NAMES, map(float, theta), strict=True))
    constants["fma"] += 1.0
    return constants


def errors(
    works: dict[str, Workload],
    observations: Sequence[Json],
    machine: Machine,
    constants: dict[str, float],
) -> list[float]:
    """Predicted over measured, less one, of each observation."""
    theta = np.array([constants[name] for name in NAMES])
    found = []
    for o in observations:
        row, known = equation(works[o["workload"]], o, machine)
        found.append(float(row @ theta + known) / o["seconds"] - 1)
    return found


def quality(
    works: dict[str, Workload], observations: Sequence[Json], machine: Machine
) -> dict[str, float]:
    """Sizes of the errors; the last: each workload's, by a fit to the others."""
    constants = fit(works, observations, machine)
    sizes = list(map(abs, errors(works, observations, machine, constants)))
    own = [
        abs(error)
        for o, error in zip(
            observations, errors(works, observations, machine, constants), strict=True
        )
        if o["kind"] == "train" and o["rows"] == works[o["workload"]].batch_size
    ]
    unseen = []
    for name in works:
        others = [o for o in observations if o["workload"] != name]
        left = [o for o in observations if o["workload"] == name]
        unseen += errors(works, left, machine, fit(works, others, machine))
    return {
        "median of all": statistics.median(sizes),
        "largest of all": max(sizes),
        "median at the workloads' own batch": statistics.median(own),
        "largest there": max(own),
        "median of a workload that the fit has not seen": statistics.median(map(abs, unseen)),
    }
