"""A cost model of a training step: what the busiest thread of each phase does, times constants.

    step = phase 1 + phase 2 + 2 barriers + what the links between caches and nodes carry

Phase 1 carries rows through forward and backward products, phase 2 gradients and updates units of
weights (docs/architecture.md). A phase's work is a vector of amounts, one for each of TERMS; the
constants, seconds a unit of each, are fitted to measured steps (`fit`). Layers whose outputs a team
shares, and halves and copies of small networks, are not in it: rows are shared, or groups of them.
Links between caches are taken not to work at the same time as the cores: what they carry is added.
All is float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.cli.workloads import Workload

Array = npt.NDArray[Any]

# lanes of a vector, columns of a panel, and rows of a register tile, of the AVX-512 kernels
VL, PANEL, TILE = 16, 32, 14
FLOPS_A_CYCLE = 4 * VL  # two multiply-adds of vectors
ADD_CYCLES = 4  # of an addition that waits for the last one
ROW_BLOCK = 128  # of the build that was measured; the engine's are of 64 since
SERIAL_FLOPS = 1e6  # the engine keeps smaller steps on one thread

# term -> (what a unit is, how the page gives its constant: scale and unit)
TERMS = {
    "fma": ("multiply-adds, in time at the peak", 1.0, "x"),
    "operand": ("a vector of B, read once for each tile of rows", 1e9, "ns"),
    "result": ("a vector of C, written", 1e9, "ns"),
    "function": ("a vector through tanh or sigmoid", 1e9, "ns"),
    "adam": ("a vector of weights, updated by Adam", 1e9, "ns"),
    "sgd": ("a vector of weights, updated by plain SGD", 1e9, "ns"),
    "row": ("a row's loss", 1e9, "ns"),
    "call": ("a product's call", 1e9, "ns"),
    "far": ("a byte from beyond the core's L2", 1e12, "ps"),
    "link": ("a byte into an L3 that cores of others have written", 1e12, "ps"),
    "memory": ("traffic with memory, in time at the copy bandwidth", 1.0, "x"),
    "step": ("a step", 1e9, "ns"),
    "python": ("a call from Python, where one was measured", 1e6, "us"),
}
NAMES = tuple(TERMS)


def ceil_div(a: Any, b: Any) -> Any:
    return -(-a // b)


def amounts(**terms: Any) -> Array:
    """A vector of amounts, or a row of them for each of several pieces of work."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in terms.values()))
    out = np.zeros((*shape, len(NAMES)))
    for name, value in terms.items():
        out[..., NAMES.index(name)] = value
    return out


@dataclass(frozen=True)
class Machine:
    """Cores in groups that share an L3, groups in NUMA nodes. Bytes, bytes/s, seconds."""

    cores: int
    nodes: int
    peak: float  # FLOP/s of one core
    cores_per_l3: int
    l2: int
    l3: int
    core_memory: float  # what one core can copy, reading and writing counted
    node_memory: float
    node_link: float  # into a node from all others
    line_near: float  # a cache line from a core to another: in its L3,
    line_far: float  # in its node,
    line_node: float  # in another node

    def l3s(self, threads: int) -> int:
        return int(ceil_div(threads, self.cores_per_l3))

    def nodes_of(self, threads: int) -> int:
        return int(ceil_div(threads * self.nodes, self.cores))

    def memory_rate(self, threads: int) -> float:
        """What so many cores can copy."""
        return min(threads * self.core_memory, self.nodes_of(threads) * self.node_memory)

    def barrier(self, threads: int, tree: bool) -> float:
        """One counter for all, or one a cache and one a node.

        Arrivals at a counter come one after the other, each with the line that holds it; then each
        cache fetches the line that says go on, one after the other from the one that wrote it.
        """
        if threads == 1:
            return 0.0
        nodes, l3s = self.nodes_of(threads), self.l3s(threads)
        near = min(threads, self.cores_per_l3)
        far, node = int(ceil_div(l3s, nodes)), nodes
        go_on = self.line_near + (far > 1) * self.line_far + (node > 1) * self.line_node
        if tree:
            levels = ((near, self.line_near), (far, self.line_far), (node, self.line_node))
            return sum(count * line for count, line in levels if count > 1) + go_on
        # The last to have had the line was any other thread.
        same_l3 = (near - 1) / (threads - 1)
        same_node = max(same_l3, (threads / nodes - 1) / (threads - 1))
        line = same_l3 * self.line_near + (same_node - same_l3) * self.line_far
        line += (1 - same_node) * self.line_node
        others = (near > 1) * self.line_near + (far - 1) * self.line_far
        return threads * line + others + (l3s - far) * self.line_node


@dataclass(frozen=True)
class Plan:
    """How a step is divided: groups of rows x outputs."""

    threads: int
    split: int = 1  # threads that share a group's rows, each with a part of every layer's outputs
    unit_rows: int = 128  # weight rows of a unit
    tree: bool = False  # a barrier a cache and one for the caches
    replicate: bool = False  # weights copied once into each node, instead of into each L3

    def __str__(self) -> str:
        if self.threads == 1:
            return "serial"
        return f"{self.threads // self.split} x {self.split}"


def layers(work: Workload) -> list[tuple[int, int, str]]:
    """(inputs, outputs, activation) of each."""
    sizes = [work.inputs, *(units for units, _ in work.layers)]
    return [(k, n, act) for (k, n), (_, act) in zip(pairwise(sizes), work.layers, strict=True)]


def vectors(columns: Any) -> Any:
    return ceil_div(columns, VL)


def product(m: Any, n: Any, k: Any, peak: float) -> Array:
    """C (m, n) of k products each: tiles of rows by one panel."""
    tiles = ceil_div(m, TILE)
    return amounts(
        fma=2.0 * VL * m * vectors(n) * k / peak,
        operand=tiles * vectors(n) * k,
        result=m * vectors(n),
        call=1,
    )


def share(columns: int, split: int) -> int:
    """Columns of the thread that has most of the panels."""
    return min(columns, int(ceil_div(ceil_div(columns, PANEL), split)) * PANEL)


def weight_bytes(work: Workload) -> tuple[int, int]:
    """Of the weights, and of the transposed ones that the backward products read."""
    sizes = [4 * k * n for k, n, _ in layers(work)]
    return sum(sizes), sum(sizes[1:])


def block_of_rows(work: Workload, rows: int, split: int, peak: float, forward_only: bool) -> Array:
    """Phase 1 on one block of rows."""
    out = amounts(row=rows)
    for number, (k, n, act) in enumerate(layers(work)):
        out = out + product(rows, share(n, split), k, peak)
        if act in ("tanh", "sigmoid"):
            out += amounts(function=rows * vectors(share(n, split)))
        if number and not forward_only:
            out += product(rows, share(k, split), n, peak)
    return out


def rows_phase(
    work: Workload, rows: int, plan: Plan, machine: Machine, forward_only: bool = False
) -> Array:
    """Phase 1 of the thread that has most rows of the batch of `rows`."""
    own = own_rows(rows, plan)
    full, rest = divmod(own, ROW_BLOCK)
    out = amounts(row=0)
    for count, size in ((full, ROW_BLOCK), (1, rest)):
        if count and size:
            out = out + count * block_of_rows(work, size, plan.split, machine.peak, forward_only)
    w, wt = weight_bytes(work)
    w = (w if forward_only else w + wt) // plan.split
    exchanged = 4 * own * sum(k + n for k, n, _ in layers(work)[1:]) * (1 - 1 / plan.split)
    if outgrows_caches(work, plan.threads, machine):
        into_l3 = w * plan.split / spread(plan, machine) * blocks(own)
        read = into_l3 * machine.l3s(plan.threads)
        out = out + amounts(memory=read / machine.memory_rate(plan.threads))
    elif w > machine.l2:
        out = out + amounts(far=w * blocks(own))
    else:  # only what others have updated
        out = out + amounts(far=w * (1 - 1 / plan.threads))
    return np.asarray(out + amounts(far=exchanged))


def spread(plan: Plan, machine: Machine) -> float:
    """L3s that a group's threads are spread over."""
    return max(1.0, plan.split / machine.cores_per_l3)


def own_rows(rows: int, plan: Plan) -> int:
    """Rows of the thread that has most, which come by twos."""
    return min(rows, 2 * int(ceil_div(ceil_div(rows, 2), plan.threads // plan.split)))


def blocks(rows: int) -> int:
    return int(ceil_div(rows, ROW_BLOCK))


@dataclass(frozen=True)
class Units:
    """The units of phase 2, in order: layer, panel, rows from `first` on."""

    layer: Array
    panel: Array
    first: Array
    rows: Array
    columns: Array
    bias: Array  # 1 where the unit has the bias, too

    @property
    def cost(self) -> Array:
        return np.asarray((self.rows + self.bias) * vectors(self.columns) * VL)

    def owners(self, threads: int) -> Array:
        """The thread in whose share of the cost a unit's middle lies."""
        ends = np.cumsum(self.cost)
        return np.asarray((ends - self.cost / 2) * threads // ends[-1], int)


@lru_cache(maxsize=256)
def units_of(work: Workload, unit_rows: int) -> Units:
    found = [
        (number, j, i, min(unit_rows, k - i), min(PANEL, n - j * PANEL), i + unit_rows >= k)
        for number, (k, n, _) in enumerate(layers(work))
        for j in range(ceil_div(n, PANEL))
        for i in range(0, k, unit_rows)
    ]
    return Units(*(np.array(column, int) for column in zip(*found, strict=True)))


@lru_cache(maxsize=4096)
def busiest_units(work: Workload, unit_rows: int, threads: int) -> Units:
    """The units of the thread whose share costs most."""
    units = units_of(work, unit_rows)
    owners = units.owners(threads)
    mine = owners == np.argmax(np.bincount(owners, units.cost))
    return Units(*(getattr(units, field.name)[mine] for field in fields(units)))


def optimizer_bytes(work: Workload) -> int:
    """Read and written of the weights, the slots and the transposed weights in a step."""
    w, wt = weight_bytes(work)
    return w * (6 if work.optimizer == "adam" else 2) + wt


def outgrows_caches(work: Workload, threads: int, machine: Machine) -> bool:
    """Whether weights and slots are in memory between steps."""
    w, wt = weight_bytes(work)
    size = w * (3 if work.optimizer == "adam" else 1) + wt
    return size > machine.l3 * machine.l3s(threads)


def weights_phase(work: Workload, rows: int, plan: Plan, machine: Machine) -> Array:
    """Phase 2 of the thread that has most; rows 0: the update alone."""
    units = busiest_units(work, plan.unit_rows, plan.threads)
    updated = units.cost / VL
    out = amounts(**{work.optimizer: updated})
    if rows:
        out += product(units.rows, units.columns, rows, machine.peak)
        operands = 4 * rows * (units.rows + units.columns)
        activations = 8 * rows * sum(k + n for k, n, _ in layers(work))
        beyond_l2 = 1 if activations > machine.l2 else 1 - 1 / plan.threads
        out += amounts(far=operands * beyond_l2)
    out = out.sum(axis=0)
    if outgrows_caches(work, plan.threads, machine):
        traffic = optimizer_bytes(work) / machine.memory_rate(plan.threads)
        return np.asarray(out + amounts(memory=traffic))
    all_updated = units_of(work, plan.unit_rows).cost.sum() / VL
    far = optimizer_bytes(work) * updated.sum() / all_updated
    return np.asarray(out + amounts(far=far if far > machine.l2 else 0))


@dataclass(frozen=True)
class Carried:
    """Bytes that come from elsewhere in a step, into the L3 and the node that get most."""

    l3: float
    node: float


NOTHING = Carried(0.0, 0.0)


def links(work: Workload, rows: int, plan: Plan, machine: Machine) -> tuple[Carried, Carried]:
    """Weights and activations carried for phase 1, activations for phase 2."""
    l3s, nodes = machine.l3s(plan.threads), machine.nodes_of(plan.threads)
    if l3s == 1:
        return NOTHING, NOTHING
    per_node = int(ceil_div(l3s, nodes))

    def carried(read: float, copies_a_node: float) -> Carried:
        return Carried(read * (1 - 1 / l3s), read * (1 - 1 / nodes) * copies_a_node)

    wide = spread(plan, machine)
    weights = sum(weight_bytes(work)) / wide
    if weights > machine.l3:
        weights *= blocks(own_rows(rows, plan))
    exchanged = 4 * rows / l3s * wide * sum(k + n for k, n, _ in layers(work)[1:]) * (1 - 1 / wide)
    into = carried(weights, 1 if plan.replicate else per_node)
    exchange = carried(exchanged, per_node)
    columns = columns_read(work, only_units(plan), machine.cores_per_l3)
    return (
        Carried(into.l3 + exchange.l3, into.node + exchange.node),
        carried(4 * rows * columns, per_node),
    )


def only_units(plan: Plan) -> Plan:
    """The plan without what the units do not depend on."""
    return replace(plan, split=1, tree=False, replicate=False)


@lru_cache(maxsize=4096)
def columns_read(work: Workload, plan: Plan, cores_per_l3: int) -> int:
    """Columns of X and of dY that the units of one L3 read, of the one that reads most."""
    units = units_of(work, plan.unit_rows)
    l3 = units.owners(plan.threads) // cores_per_l3
    total = np.zeros(l3.max() + 1)
    for place, columns in ((units.first, units.rows), (units.panel, units.columns)):
        _, first = np.unique(np.stack([l3, units.layer, place]), axis=1, return_index=True)
        np.add.at(total, l3[first], columns[first])
    return int(total.max())


@dataclass(frozen=True)
class Prediction:
    """A step by what its time is spent on."""

    plan: Plan
    parts: dict[str, float]

    @property
    def seconds(self) -> float:
        return math.fsum(self.parts.values())

    def peak_share(self, machine: Machine) -> float:
        """The part of all cores' multiply-add peak that the step reaches."""
        return self.parts["arithmetic"] * self.plan.threads / machine.cores / self.seconds


def step_amounts(work: Workload, rows: int, plan: Plan, machine: Machine) -> Array:
    """All that a step of training has of each term."""
    links_1, links_2 = links(work, rows, plan, machine)
    total = rows_phase(work, rows, plan, machine) + weights_phase(work, rows, plan, machine)
    return np.asarray(total + amounts(step=1, link=links_1.l3 + links_2.l3))


def predict(
    work: Workload, plan: Plan, machine: Machine, constants: dict[str, float]
) -> Prediction:
    """What a step on the workload's batch takes."""
    rows = work.batch_size
    theta = [constants[name] for name in NAMES]
    spent = dict(
        zip(NAMES, (step_amounts(work, rows, plan, machine) * theta).tolist(), strict=True)
    )
    arithmetic = work.flops / work.rows * rows / plan.threads / machine.peak
    apart = ("far", "memory", "link")
    phases = links(work, rows, plan, machine)
    links_1, links_2 = (
        max(carried.l3 * constants["link"], carried.node / machine.node_link) for carried in phases
    )
    in_groups = (2 * len(work.layers) - 1) * machine.barrier(plan.split, plan.tree)
    return Prediction(
        plan,
        {
            "arithmetic": arithmetic,
            "kernels": sum(spent[name] for name in NAMES if name not in apart) - arithmetic,
            "caches": spent["far"],
            "memory": spent["memory"],
            "links, phase 1": links_1,
            "links, phase 2": links_2,
            "barriers": 2 * machine.barrier(plan.threads, plan.tree) + in_groups,
            "sums": serial_sums(rows, plan, machine),
        },
    )


def serial_sums(rows: int, plan: Plan, machine: Machine) -> float:
    """The first thread adds up all rows' losses, one after the other; its own are in "row"."""
    return (rows - own_rows(rows, plan)) * ADD_CYCLES * FLOPS_A_CYCLE / machine.peak


def today(work: Workload, cores: int) -> Plan:
    """What the engine does on so many cores."""
    if work.flops / work.rows * work.batch_size < SERIAL_FLOPS:
        return Plan(1)
    return Plan(min(cores, work.batch_size))


def plans(machine: Machine) -> list[Plan]:
    """All that the model chooses from, the simple ones first."""
    counts = {2**i for i in range(9)} | {machine.cores}
    return [Plan(1)] + [
        Plan(threads, split, unit_rows, tree, replicate)
        for threads in sorted(count for count in counts if 1 < count <= machine.cores)
        for split in (2**i for i in range(9) if threads % 2**i == 0)
        for unit_rows in (128, 32)
        for tree in (False, True)
        for replicate in ((False, True) if machine.nodes > 1 else (False,))
    ]


def best(work: Workload, machine: Machine, constants: dict[str, float]) -> Prediction:
    """The fastest of all plans."""
    found = (predict(work, plan, machine, constants) for plan in plans(machine))
    return min(found, key=lambda prediction: prediction.seconds)
