"""The large machines that the page speaks of: what is assumed of them, and where it comes from."""

from __future__ import annotations

from dataclasses import replace

from scaling.model import Machine

# of a Machine: (value, what the page says, sources); nobody has measured fastnn on one of these
ASSUMED: dict[str, tuple[float, str, str]] = {
    "cores_per_l3": (8, "8", "EPYC 9005: [TechPowerUp]"),
    "l3": (32 << 20, "32 MiB", "EPYC 9005: [TechPowerUp]"),
    "node_memory": (
        450e9,
        "450 GB/s copied, of 576 GB/s that 12 channels of DDR5-6000 carry",
        "EPYC 9005, measured: [Turin]",
    ),
    "node_link": (
        256e9,
        "256 GB/s into a node, half of what 4 xGMI links carry both ways",
        "EPYC 9004, theoretical: [Lenovo]",
    ),
    "line_near": (
        45e-9,
        "45 ns for a cache line from one core to another of its L3",
        "EPYC 9005, measured: [Turin]; 23 ns on an EPYC 7R13: [core-to-core]",
    ),
    "line_far": (
        150e-9,
        "150 ns between two L3s",
        "EPYC 9005, measured: [Turin]; 107 ns on an EPYC 7R13: [core-to-core]",
    ),
    "line_node": (
        260e-9,
        "260 ns between two sockets",
        "EPYC 9005, measured: [Turin]; 197 ns on an EPYC 7R13: [core-to-core]",
    ),
}
SOURCES = {
    "TechPowerUp": "https://techpowerup.com/news-tags/AMD?page=32",
    "Turin": "https://blog.hotdry.top/posts/2025/11/27/amd-turin-uma-memory-access-benchmarks-optimization",
    "Lenovo": "https://lenovopress.lenovo.com/lp1852-configuring-amd-xgmi-links-on-thinksystem-sr665-v3",
    "core-to-core": "https://github.com/nviennot/core-to-core-latency",
}
CORES = (8, 16, 32, 64, 96, 192)
NODES = (1, 2, 4, 8)


def large(here: Machine, cores: int, nodes: int) -> Machine:
    """A machine of cores like those here."""
    assumed = {name: value for name, (value, _, _) in ASSUMED.items()}
    return replace(here, cores=cores, nodes=nodes, **assumed)  # type: ignore[arg-type]
