"""Who embeds a query: one provider for each model and endpoint that the flag has led to."""

import threading

from reembed.embedding.provider import Provider
from reembed.retrieval import models

# Requests for the vectors of queries, in flight at once for each model
CONCURRENT_QUERIES = 32


class Providers:
    """One for each model and endpoint, made when it is first needed: after a fork, not before."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._made: dict[models.Choice, Provider] = {}
        self._making = threading.Lock()

    def of(self, choice: models.Choice) -> Provider:
        with self._making:
            if choice not in self._made:
                model, endpoint = choice
                self._made[choice] = Provider(
                    endpoint, model, timeout_seconds=self._timeout_seconds, connections=CONCURRENT_QUERIES
                )
            return self._made[choice]

    def close(self) -> None:
        for provider in self._made.values():
            provider.close()
