"""The command line, `fastnn` or `python -m fastnn`; needs the extra `cli`."""

import sys
from importlib.util import find_spec
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """Run the command line on `sys.argv`; the entry point of the `fastnn` program."""
    absent = [name for name in ("typer", "rich", "pandas", "sklearn") if find_spec(name) is None]
    if absent:
        _stop(
            f"the command line needs {', '.join(absent)}, not installed here; "
            'install them with: pip install "fastnn[cli]"'
        )
    try:
        import fastnn._native.core  # noqa: F401
    except ImportError as error:  # FASTNN_ISA asks for what this CPU has not, or nothing is built
        _stop(str(error))
    from fastnn.cli.app import app

    app()


def _stop(reason: str) -> NoReturn:
    print(f"fastnn: {reason}", file=sys.stderr)
    sys.exit(1)
