"""Of what kind a reason to wait is: for whoever is to be woken by some, and not by others.

A reason is a sentence in the ledger, written by whoever waits. Its beginning says which of them that was.
"""

import inspect
import re
from typing import Literal, get_args

from orchestrator import progress, resume
from reembed import errors
from reembed.database import limits
from workers import budget, quota
from workers.jobs import waiting

Kind = Literal["operator", "limit", "work", "governor", "job", "quota", "provider", "nobody", "fault"]
"""Who is waited for:

operator: a person who typed `reembed pause`
limit: a person, at --until or at the budget
work: an index, a judgement, vectors that come home: it takes as long as it takes
governor: the database, which has other things to do
job: a job at the provider's Batch API
quota: ours, or what the provider allows
provider: an answer, after 429, 5xx or none
nobody: processes that do not run
fault: whoever mends what the reason says
"""

KINDS: tuple[Kind, ...] = get_args(Kind)


def _of(error: type[errors.ReembedError]) -> str:
    """The sentence that the error begins with."""
    return inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].rstrip(".")


def _beginning(template: str) -> str:
    """A pattern for a sentence up to its advice, whatever is filled in."""
    fixed = re.split(r"\{.*?\}", template.partition(";")[0])
    # What a worker puts before a sentence of its own
    return r"(A passing fault: )?" + ".*?".join(map(re.escape, fixed))


_STOPPED: tuple[tuple[Kind, str], ...] = (
    ("operator", _beginning(resume.BY_OPERATOR)),
    ("limit", _beginning(limits.FAR_ENOUGH)),
    ("limit", _beginning(_of(limits.BudgetReached))),
)
_UNDER_WAY: tuple[tuple[Kind, str], ...] = (
    ("limit", _beginning(_of(limits.BudgetReached))),
    ("limit", _beginning(budget.WAITING)),
    ("work", "the index|the judgement"),
    ("work", _beginning(progress.COMING_HOME)),
    ("governor", "the database: .* over GOVERN_"),
    ("job", "job .* is at the provider: "),
    ("job", _beginning(waiting.NO_PLACE)),
    ("job", _beginning(waiting.ENOUGH)),
    ("quota", _beginning(quota.WAITING)),
    ("provider", _beginning(_of(errors.ProviderOverloaded))),
    ("provider", _beginning(_of(errors.ProviderUnavailable))),
    ("nobody", _beginning(progress.NO_WORKER)),
    ("nobody", _beginning(progress.NO_CONTROL_WORKER)),
)


def kind(state: str, waiting_for: str | None) -> Kind | None:
    """None where nothing is waited for. Whatever is not known is a fault: somebody has to look."""
    if waiting_for is None:
        return None
    if state == "failed":
        return "fault"
    known = _STOPPED if state == "paused" else _UNDER_WAY
    return next((one for one, beginning in known if re.match(beginning, waiting_for)), "fault")
