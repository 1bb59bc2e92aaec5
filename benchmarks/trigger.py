"""What our triggers cost the application's own writes: the same statements without and with it.

.venv/bin/python -m benchmarks.trigger [STATEMENTS]
"""

import statistics
import sys
import time

from benchmarks import table

DOCUMENTS = 5_000
ROUNDS = 20
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


def main(count: int) -> None:
    """In turns, so that neither side has the fresher pages or the quieter machine."""
    measured: dict[tuple[str, str], list[float]] = {}
    with table.filled(DOCUMENTS) as bench:
        for _ in range(ROUNDS):
            for side in ("DISABLE", "ENABLE ALWAYS"):
                bench.database.execute(SWITCH[side])
                for name, statement in STATEMENTS.items():
                    measured.setdefault((name, side), []).extend(times(bench, statement, count // ROUNDS))
    print(f"median of {count:,} single-row updates on a local socket, texts of {table.CHARACTERS} characters")
    for name in STATEMENTS:
        without, with_it = (statistics.median(measured[name, side]) for side in ("DISABLE", "ENABLE ALWAYS"))
        print(f"{name:<26}{without:>6.0f} µs without{with_it:>6.0f} µs with it  {with_it - without:+.0f} µs")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000)
