"""What our triggers cost the application's own writes: the same statements without and with it.

.venv/bin/python -m benchmarks.trigger [--quick]
"""

import statistics
import time

from benchmarks import figures, installation, table

DOCUMENTS = 5_000
ROUNDS = 20
# Statements of each kind and side in a round
EACH = 200
SWITCH = {
    "DISABLE": "ALTER TABLE documents DISABLE TRIGGER USER",
    "ENABLE ALWAYS": (
        'ALTER TABLE documents ENABLE ALWAYS TRIGGER "~reembed", ENABLE ALWAYS TRIGGER "~reembed_old"'
    ),
}
STATEMENTS = {
    "a column beside the text": "UPDATE documents SET title = %s WHERE id = %s",
    "the text": "UPDATE documents SET content = %s || repeat(' words', 130) WHERE id = %s",
    "the old vector": "UPDATE documents SET embedding = array_fill(%s::real, '{768}')::vector WHERE id = %s",
}


def times(bench: table.Bench, statement: str, count: int) -> list[float]:
    """Of single statements, in microseconds."""
    found = []
    for number in range(count):
        began = time.perf_counter()
        bench.database.execute(statement, (str(number), number * 7 % DOCUMENTS))
        found.append((time.perf_counter() - began) * 1e6)
    return found


def measure(_: installation.Installation, effort: figures.Effort) -> list[figures.Figure]:
    """In turns, so that neither side has the fresher pages or the quieter machine."""
    measured: dict[tuple[str, str], list[float]] = {}
    with table.filled(DOCUMENTS) as bench:
        for _round in range(effort.documents(ROUNDS, 2)):
            for side in SWITCH:
                bench.database.execute(SWITCH[side])
                for name, statement in STATEMENTS.items():
                    median = statistics.median(times(bench, statement, EACH))
                    measured.setdefault((name, side), []).append(median)
    return [
        figures.Figure(
            f"an application's update of {name}, with our triggers against without",
            [
                with_them / without
                for without, with_them in zip(
                    measured[name, "DISABLE"], measured[name, "ENABLE ALWAYS"], strict=True
                )
            ],
        )
        for name in STATEMENTS
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
