"""The old model, where OLD_EMBED_MODEL names it: whether it answers, and whether it made the old vectors.

Searches of the old column are embedded with it, and after the switch the old column is kept fresh with it: the wrong
one would harm both, and nothing else would notice.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from orchestrator import checks
from orchestrator.doctor import reading
from orchestrator.doctor.finding import Finding
from reembed import errors
from reembed.database import documents, ledger
from reembed.database.catalog import Description
from reembed.database.connection import Connection
from reembed.settings import Model

# Documents that are embedded again; a few may have been edited since, so that the median decides
_DOCUMENTS = 5
# Cosine. The same model gives the same text 0.999 or more, another one hardly ever 0.9
_SAME = 0.95


def look(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """Raises nothing of the provider's: `start` does not ask the old model."""
    model = settings.old_model(found.old_dimensions)
    if model is None:
        yield Finding(
            "old_model.unset",
            "info",
            "OLD_EMBED_MODEL is not set: no query is asked of both models, and after the switch the old column is not "
            "kept fresh.",
            "Set it to the model that made the old vectors, if that still answers.",
        )
        return
    with reading.only(connection):
        migration = ledger.find(connection, found.table.schema, found.table.name)
    if migration is not None and migration.state == "cleaning":
        # The old column's name stands for the place that the new vectors come home to
        return
    if model.dimensions != found.old_dimensions:
        # A column without a width of its own is checks.width's
        if found.old_dimensions:
            yield _other(model, found, f"{found.table.old} has {found.old_dimensions:,} dimensions")
        return
    with reading.only(connection):
        sample = documents.old_sample(connection, found.table, _DOCUMENTS)
    if not sample:
        return
    try:
        answer = checks.ask(settings.old_endpoint, model, [text for text, _ in sample], settings)
    except errors.ReembedError as error:
        yield Finding(
            "old_model.silent",
            "warning",
            f"The old model does not answer: {error.what}",
            "Unset OLD_EMBED_MODEL if it is gone; the judgement goes by stored vectors then.",
        )
        return
    cosine = float(
        np.median([_cosine(*pair) for pair in zip(answer.vectors, (old for _, old in sample), strict=True)])
    )
    if cosine < _SAME:
        said = f"embedded again, {len(sample)} documents have a median cosine of {cosine:.2f} with their stored vectors"
        yield _other(model, found, said)
    else:
        yield Finding(
            "old_model.answers", "info", f"{model} answers, and made the vectors in {found.table.old}.", ""
        )


def _other(model: Model, found: Description, why: str) -> Finding:
    return Finding(
        "old_model.other",
        "warning",
        f"{model} did not make the vectors in {found.table.old}: {why}.",
        "Set OLD_EMBED_MODEL, OLD_EMBED_DIMENSIONS and OLD_EMBED_DOCUMENT_PREFIX to what did, or unset them.",
    )


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
