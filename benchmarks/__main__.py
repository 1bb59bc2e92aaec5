"""Every figure, one Markdown table: what `make bench` prints.

.venv/bin/python -m benchmarks [--rounds N] [--quick]
"""

import importlib
import sys
import time

from benchmarks import figures, installation

# In this order. Each has `measure`, and runs alone as `python -m benchmarks.NAME`
MODULES = (
    "speed",
    "latency",
    "quota",
    "faraway",
    "indexing",
    "companion",
    "growth",
    "planning",
    "writing",
    "trigger",
    "retrieval",
)


def main() -> None:
    asked = figures.effort(__doc__)
    found: list[figures.Figure] = []
    for name in MODULES:
        module = importlib.import_module(f"benchmarks.{name}")
        began = time.monotonic()
        # A server of its own: what one has left behind is no burden to the next
        with installation.running() as site:
            found += module.measure(site, asked)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(figures.table(found))


if __name__ == "__main__":
    main()
