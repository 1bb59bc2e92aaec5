"""What a Retriever is, whether it waits in threads or in asyncio: the programs, and what comes after an answer."""

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING

from reembed import settings
from reembed.database.connection import Connection
from reembed.retrieval import driver, shadow
from reembed.retrieval.background import Background
from reembed.retrieval.composing import Question
from reembed.retrieval.counting import Tally
from reembed.retrieval.program import Answer, Program, Programs
from reembed.retrieval.providers import Providers

if TYPE_CHECKING:
    from reembed.database.ledger import Side


class Searching:
    def __init__(self, environment: settings.Settings) -> None:
        """Raises table.InvalidTableName, settings.InvalidSetting."""
        self._environment = environment
        self._programs = Programs(environment)
        self._tally = Tally()
        self.providers = Providers(environment.provider_timeout_seconds)
        self._background = self._make_background()

    def ask(self, question: Question) -> Program[Answer]:
        if self._background is not None:
            self._background.ensure()
        return self._programs.search(question, self._environment.use_v2_embeddings)

    def answered(self, question: Question, answer: Answer) -> None:
        """After the answer, and never in its way: count it, and let the shadow have some."""
        flag = answer.reading.flag
        if self._background is None or flag is None or not flag.has_both:
            return
        side: Side = "new" if answer.is_new else "old"
        self._tally.add(flag.migration, side, answer.seconds)
        if random.random() * 100 < self._environment.shadow_percent:  # noqa: S311  a sample, not a secret
            self._background.offer(shadow.Job(question, answer))

    def close(self) -> None:
        if self._background is not None:
            self._background.close()
        self.providers.close()

    def _make_background(self) -> Background | None:
        environment = self._environment
        if not (environment.search_background or environment.shadow_percent):
            return None
        if environment.database_url is None:
            wanted_by = "SEARCH_BACKGROUND" if environment.search_background else "SHADOW_PERCENT"
            raise settings.InvalidSetting(
                name="DATABASE_URL", problem=f"is not set, and {wanted_by} needs it"
            )
        url = environment.database_url.get_secret_value()
        return Background(url, self._programs.cache, self._tally, self._shadow)

    def _shadow(self, connection: Connection, job: shadow.Job) -> float | None:
        program = self._programs.search(job.question, override=job.other_side)
        return job.overlap(driver.run(lambda: nullcontext(connection), program, self.providers))
