"""What fastnn aims at, each aim with its bar, to be checked against the results of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from registry import PEERS
from results import Results, Row
from tasks import FORMS

from fastnn.cli.workloads import SHAPES

AGREEMENT = 0.03  # of the losses of all who trained the same

# of the FMA peak while training, on one thread and on all
TRAINING_SHARES = {"W3": (0.86, 0.85), "W4": (0.90, 0.87), "W5": (0.87, 0.85), "W7": (0.87, 0.80)}
LARGE = [(size, size, size) for size in (2048, 4096)]


@dataclass(frozen=True)
class Aim:
    """A figure and its bar.

    `measure` raises KeyError where the results have not what it takes.
    """

    group: str
    name: str
    measure: Callable[[], float]
    limit: float
    unit: str = ""
    at_most: bool = False

    def holds(self, measured: float) -> bool:
        return measured <= self.limit if self.at_most else measured >= self.limit


def share(row: Row) -> float:
    """fastnn's share of the peak; KeyError where the peak was not measured."""
    value = row.share("fastnn") if "fastnn" in row.results else None
    if value is None:
        raise KeyError(f"the share of the peak of {row.name}")
    return value


def shape_name(shape: tuple[int, int, int], dtype: str = "float32", form: str = "AB") -> str:
    return f"{dtype} {'x'.join(map(str, shape))} {form}"


class Aims:
    """The aims of a run.

    Parameters
    ----------
    results : Results
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.one, *_, self.all = [*results.threads(), *results.threads()]

    def counts(self) -> list[int]:
        """The numbers of threads that aims speak of."""
        return sorted({self.one, self.all})

    def best(self, task: str, peer: str) -> float:
        """Seconds at whichever number of threads is faster."""
        rows = [row for row in self.results.rows if row.name == task and peer in row.results]
        if not rows:
            raise KeyError(f"{peer} in {task}")
        return min(row.seconds(peer) for row in rows)

    def every(self) -> Iterator[Aim]:
        yield from self.small_networks()
        yield from self.large_networks()
        yield from self.agreement()
        yield from self.products()
        yield from self.bfloat16_training()
        yield from self.elementwise()
        yield from self.prediction()
        yield from self.memory()

    def small_networks(self) -> Iterator[Aim]:
        group = "Small networks, at the faster number of threads"
        bars = [("W1", "jax", 3.5), ("W2", "jax", 3.0), ("W6", "jax", 3.0)]
        for task, peer, limit in [*bars, ("W2", "sklearn", 20.0), ("W2", "torch", 35.0)]:

            def ratio(task: str = task, peer: str = peer) -> float:
                return self.best(task, peer) / self.best(task, "fastnn")

            yield Aim(group, f"{task}: {PEERS[peer].title}'s time over fastnn's", ratio, limit)

    def large_networks(self) -> Iterator[Aim]:
        group = "Large networks"
        for task, limits in TRAINING_SHARES.items():
            for count, limit in zip((self.one, self.all), limits, strict=True):
                yield self.on(group, task, count, "share of the peak", share, limit)
        for task in ("W3", "W5"):
            for count, limit in ((self.one, 1.35), (self.all, 1.5)):
                yield self.on(group, task, count, "best peer's time", Row.advantage, limit)

    def agreement(self) -> Iterator[Aim]:
        def worst() -> float:
            rows = self.results.of_kind("training")
            return max((row.astray(peer) for row in rows for peer in row.results), default=0.0)

        name = "all peers and tasks: loss off the median, at most"
        yield Aim("The same work", name, worst, AGREEMENT, at_most=True)

    def products(self) -> Iterator[Aim]:
        group = "Matrix products, m x n x k"
        for count in self.counts():
            for shape in LARGE:
                task = shape_name(shape)
                yield self.on(group, task, count, "share of the peak", share, 0.96)
            for shape in SHAPES:
                task = shape_name(shape)
                yield self.on(group, task, count, "best peer's time", Row.advantage, 1.0)
            for shape in SHAPES:
                yield self.forms(group, shape, count)
            for dtype, limit in (("bfloat16", 0.90), ("float64", 0.95)):
                task = shape_name(LARGE[0], dtype)
                yield self.on(group, task, count, "share of the peak", share, limit)

    def forms(self, group: str, shape: tuple[int, int, int], count: int) -> Aim:
        def spread() -> float:
            names = [shape_name(shape, form=form) for form in FORMS]
            times = [self.results.row(name, count).seconds("fastnn") for name in names]
            return max(times) / min(times)

        name = f"{shape_name(shape)}, threads {count}: slowest form over fastest"
        return Aim(group, name, spread, 1.05, at_most=True)

    def bfloat16_training(self) -> Iterator[Aim]:
        group = "Training in mixed_bfloat16"

        def pair(task: str, measure: str) -> tuple[float, float]:
            rows = [self.results.row(name, self.one) for name in (task, f"{task} mixed")]
            exact, mixed = (row.measure("fastnn", measure) for row in rows)
            return exact, mixed

        def accuracy_lost() -> float:
            exact, mixed = pair("W2", "accuracy")
            return abs(exact - mixed)

        def loss_off() -> float:
            exact, mixed = pair("W3", "loss")
            return abs(mixed / exact - 1)

        for count in self.counts():

            def gain(count: int = count) -> float:
                exact, mixed = (self.results.row(name, count) for name in ("W4", "W4 mixed"))
                return exact.seconds("fastnn") / mixed.seconds("fastnn")

            yield Aim(group, f"W4, threads {count}: float32's time over its time", gain, 1.6)
        name = "W2: validation accuracy off float32's"
        yield Aim(group, name, accuracy_lost, 0.005, at_most=True)
        yield Aim(group, "W3: loss off float32's", loss_off, 0.02, at_most=True)

    def elementwise(self) -> Iterator[Aim]:
        group = "Elementwise functions"
        functions = ("sigmoid", "tanh", "exp", "relu")
        for name in functions:
            limit = 1.4 if name == "sigmoid" else 1.2
            yield self.on(group, f"{name} 1e4", self.one, "best peer's time", Row.advantage, limit)
        for count in self.counts():

            def bandwidth(row: Row) -> float:
                copy = self.results.row("copy 1e7", row.threads)
                return copy.seconds(copy.best_peer()) / row.seconds("fastnn")

            for name in functions:
                what = "share of a copy's bandwidth"
                yield self.on(group, f"{name} 1e7", count, what, bandwidth, 0.9)
        for name in functions:

            def ulp(task: str = f"{name} 1e7") -> float:
                return self.results.row(task, self.one).measure("fastnn", "ulp")

            yield Aim(group, f"{name} 1e7: worst error", ulp, 2.0, "ulp", at_most=True)

    def prediction(self) -> Iterator[Aim]:
        group, task = "Prediction", "predict W2 1"

        def microseconds() -> float:
            return self.best(task, "fastnn") * 1e6

        def ratio() -> float:
            return self.best(task, "onnxruntime") / self.best(task, "fastnn")

        yield Aim(group, f"{task}: a call", microseconds, 2.5, "us", at_most=True)
        yield Aim(group, f"{task}: ONNX Runtime's time over fastnn's", ratio, 1.0)
        for count in self.counts():
            yield self.on(group, "predict W3 60000", count, "share of the peak", share, 0.9)

    def memory(self) -> Iterator[Aim]:
        for count in self.counts():

            def extra(count: int = count) -> float:
                return extra_bytes(self.results.row("memory W3", count), "fastnn") / 1e6

            name = f"training W3, threads {count}: beyond x, y and the parameters' state"
            yield Aim("Memory", name, extra, 20.0, "MB", at_most=True)

    def on(
        self,
        group: str,
        task: str,
        count: int,
        what: str,
        measure: Callable[[Row], float],
        limit: float,
    ) -> Aim:
        """An aim that one row decides."""
        words = what.replace("best peer's time", "best peer's time over fastnn's")
        name = f"{task}, threads {count}: {words}"
        return Aim(group, name, lambda: measure(self.results.row(task, count)), limit)


def extra_bytes(row: Row, peer: str) -> float:
    """Memory that training took beyond what it must, at its peak."""
    return row.measure(peer, "taken") - row.measure(peer, "needed")
