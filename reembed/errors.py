"""Every error of reembed, in one tree that says what to do about it.

    ReembedError
    ├── Transient             try again, later: nobody is to blame
    │   ├── ProviderOverloaded       429: slow down, everybody
    │   └── ProviderUnavailable      5xx, time-out, dropped connection, half a body
    ├── Permanent             record it, go on with the rest
    │   ├── RequestRefused           400, 413, 422: one of these texts may be to blame, or their sum
    │   └── DocumentRefused          the same, proved to be one document's own
    ├── Broken                stop the migration with the reason: no document is to blame
    │   ├── ProviderRefusedKey       401, 403
    │   ├── ProviderUnknownModel     404, or 400 that says so
    │   ├── ProviderQuotaSpent       402, or 429 that no waiting mends
    │   ├── ProviderUnreachable      refused connection, TLS failure, unknown host
    │   └── ProviderAnsweredWrongly  wrong dimension, NaN, fewer vectors than texts
    ├── LeaseLost             this worker no longer owns the chunk: write nothing, leave
    ├── Refused               a gate says no (exit code 1)
    └── Usage                 wrong use or configuration (exit code 2)

A message is its class's docstring: what and why first, what to type next last, with the fields of the
constructor filled in. `str(error)` is one line.
"""

import inspect
from typing import ClassVar


class ReembedError(Exception):
    """Something went wrong: {reason}."""

    exit_code: ClassVar[int] = 3
    may_be_billed = False
    """Whether a provider may want money for the request that ended so."""

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        # A reason that is a sentence brings its own full stop
        told = fields | {"reason": str(fields.get("reason")).rstrip(".")}
        what, _, hint = inspect.cleandoc(type(self).__doc__ or "").partition("\n\n")
        self.what, self.hint = (" ".join(part.format(**told).split()) for part in (what, hint))
        """The two halves of the message: what and why, and what to type next (empty where there is nothing)."""
        super().__init__(f"{self.what} {self.hint}".rstrip())


class Transient(ReembedError):
    """A passing fault: {reason}."""

    def __init__(self, *, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason=reason)
        self.retry_after = retry_after
        """Seconds to wait, in the provider's own words; None where it named none."""


class ProviderOverloaded(Transient):
    """The provider asks for patience: {reason}."""


class ProviderUnavailable(Transient):
    """The provider did not answer properly: {reason}."""

    def __init__(self, *, reason: str, retry_after: float | None = None, may_be_billed: bool = True) -> None:
        super().__init__(reason=reason, retry_after=retry_after)
        # The vectors may have been made, and lost on their way
        self.may_be_billed = may_be_billed


class Permanent(ReembedError):
    """Refused for good: {reason}."""


class RequestRefused(Permanent):
    """The provider refused a request: {reason}."""


class DocumentRefused(Permanent):
    """The provider refuses this document: {reason}."""


class Broken(ReembedError):
    """The migration cannot go on: {reason}.

    Mend the cause, then `reembed resume`.
    """

    exit_code = 2


class ProviderRefusedKey(Broken):
    """The provider at {base_url} refused the API key: {reason}.

    Set OPENAI_API_KEY to a key that may use the model.
    """


class ProviderUnknownModel(Broken):
    """The provider at {base_url} does not serve the model {model}: {reason}.

    Set EMBED_MODEL to one it serves; a base URL that lacks its /v1 is answered like this, too.
    """


class ProviderQuotaSpent(Broken):
    """The quota of the provider at {base_url} is spent: {reason}.

    Waiting does not mend this; raise the quota with the provider.
    """


class ProviderUnreachable(Broken):
    """The provider at {base_url} cannot be reached: {reason}.

    Check OPENAI_BASE_URL.
    """


class ProviderAnsweredWrongly(Broken):
    """The provider's answer for {model} cannot be used: {reason}.

    Check EMBED_MODEL and EMBED_DIMENSIONS.
    """

    may_be_billed = True


class LeaseLost(ReembedError):
    """Chunk {chunk} of migration {migration} belongs to another worker by now; nothing was written."""


class Refused(ReembedError):
    """Refused: {reason}."""

    exit_code = 1


class Usage(ReembedError):
    """Cannot do that: {reason}."""

    exit_code = 2
