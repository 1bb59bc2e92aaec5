"""Some documents embedded again: does the provider still give the vectors that are stored?

The one check that asks the model, and so the one that notices a model other than the one that is named. A few documents
are random; the others are those that the sweep puts farthest away, because that is where wrong vectors are: of a
twentieth of wrong rows, random ones would often miss all.
"""

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from config.settings import Settings
from orchestrator.validation import embedding
from orchestrator.validation.comparison import Row
from orchestrator.validation.embedding import NoAnswer
from orchestrator.validation.finding import Finding
from reembed import errors
from reembed.database import documents
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding import tokens

RANDOM = 20
SUSPECTS = 30
# Providers answer the same text with vectors that differ in their last digits
_SAME = 0.999

# The finding that proves which documents are wrong
NOT_THE_MODEL = "not_the_model"


@dataclass(frozen=True)
class Again:
    tested: int
    """0 where the provider did not answer."""
    differing: tuple[str, ...]
    """Keys of documents whose stored vector is another."""
    lowest: float
    """Cosine of the stored and the new answer, of the worst."""
    note: str | None = None
    tokens: int = 0
    """Billed."""

    def findings(self) -> Iterator[Finding]:
        if self.differing:
            mend = (
                "`reembed retry --wrong` embeds the chunks that they are in again, then `reembed validate`"
                if len(self.differing) < self.tested
                else "is EMBED_MODEL still the model that filled the column? `reembed abort` and `reembed start` "
                "make all of them anew"
            )
            yield Finding(
                NOT_THE_MODEL,
                "fault",
                f"{len(self.differing)} of {self.tested} documents that were embedded again have another vector "
                f"(cosine {self.lowest:.3f} at worst)",
                mend,
                self.differing,
            )


def check(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    rows: Sequence[Row],
    suspects: Collection[Hashable],
) -> Again:
    """Embed RANDOM of the rows again, together with up to SUSPECTS of the suspects, the worst of them first.

    `rows` are in random order. A provider that refuses, or cannot be reached, leaves a note. Raises embedding.NoAnswer
    for a fault that passes, though not in time: a check that can be made later is not left out.
    """
    worst = dict.fromkeys(list(suspects)[:SUSPECTS])
    by_id = {row.id: row for row in rows[:RANDOM]} | {row.id: row for row in rows if row.id in worst}
    texts = documents.texts(connection, migration, list(by_id))
    # A text that was cut to size is embedded as it was cut then, which settings may have changed since
    texts = {
        key: text
        for key, text in texts.items()
        if tokens.estimate(text) <= environment.embed_max_input_tokens
    }
    if not texts:
        return Again(0, (), 1.0)
    try:
        # One text once, however many documents have it
        asked = list(dict.fromkeys(texts.values()))
        answer = embedding.documents(environment, "new", migration.new_model, asked)
        by_text = dict(zip(asked, answer.vectors, strict=True))
    except NoAnswer:
        raise
    except errors.ReembedError as error:
        return Again(0, (), 1.0, note=f"no document was embedded again: {error}")
    stored = np.stack([by_id[key].new for key in texts])
    answered = np.stack([by_text[text] for text in texts.values()])
    lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(answered, axis=1)
    cosines = (stored * answered).sum(axis=1) / lengths
    differing = tuple(key for key, cosine in zip(texts, cosines, strict=True) if cosine < _SAME)
    return Again(len(texts), differing, float(cosines.min()), tokens=answer.tokens)
