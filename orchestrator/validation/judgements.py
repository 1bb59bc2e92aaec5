"""Judgements of relevance, read from a file: what people found relevant, or clicked."""

from pathlib import Path

from orchestrator.validation.metrics import Grades
from reembed import errors


class NoJudgements(errors.Usage):
    """The file {path} has no judgements: {reason}.

    Write lines of `query 0 document grade` (TREC), `query document grade`, or `query document` (a click).
    """


def read(path: str) -> dict[str, Grades]:
    """Grades by query id and document id. Raises NoJudgements.

    Columns are separated by white space; four are TREC's, three and two leave out what they can. A first line that is
    a heading is passed over.
    """
    found: dict[str, dict[str, int]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NoJudgements(path=path, reason=f"it cannot be read ({type(error).__name__})") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or (number == 1 and _is_heading(fields)):
            continue
        if not 2 <= len(fields) <= 4:
            raise NoJudgements(path=path, reason=f"line {number} has {len(fields)} columns")
        query, document = fields[0], fields[2 if len(fields) == 4 else 1]
        try:
            found.setdefault(query, {})[document] = int(fields[-1]) if len(fields) > 2 else 1
        except ValueError:
            raise NoJudgements(path=path, reason=f"line {number} ends with no grade") from None
    if not any(grade > 0 for grades in found.values() for grade in grades.values()):
        raise NoJudgements(path=path, reason="no document is relevant in it")
    return dict(found)


def _is_heading(fields: list[str]) -> bool:
    """Of three or four columns, one that does not end with a number; of two, one that speaks of queries."""
    if len(fields) > 2:
        return not fields[-1].lstrip("-").isdigit()
    return "query" in fields[0].lower()
