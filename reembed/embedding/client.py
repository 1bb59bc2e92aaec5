"""The client: the openai package's, at one endpoint, with our errors instead of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx2
import openai

from reembed import errors, settings
from reembed.embedding import faults

# Seconds. A server that does not take a connection within this is not there
_CONNECT_TIMEOUT = 10.0
# Seconds that an idle connection is kept: a quota may space requests far apart, and TLS handshakes are dear
_KEEP_ALIVE = 60.0
# Base64 of vectors shrinks by a quarter, and unpacking it would cost as much CPU as all else here
_HEADERS = {"Accept-Encoding": "identity"}


class Client:
    """Threads may share it; make it after a fork, not before."""

    def __init__(
        self, endpoint: settings.Endpoint, model: str, *, timeout_seconds: float, connections: int
    ) -> None:
        """`timeout_seconds` is how long the server may stay silent, `connections` how many requests may be in flight.

        The model is named in errors. Raises errors.Broken for an endpoint that cannot be right, without asking it.
        """
        self._model = model
        self._api_key = endpoint.api_key.get_secret_value()
        try:
            url = httpx2.URL(endpoint.base_url)
        except httpx2.InvalidURL as error:
            raise errors.ProviderUnreachable(base_url="an invalid address", reason=error) from None
        self.base_url = str(url.copy_with(userinfo=b"", query=None))
        """As it may be shown."""
        if not (self._api_key and self._api_key.isascii() and self._api_key.isprintable()):
            reason = "it is empty, or no header can hold it: look for a line break at its end"
            raise errors.ProviderRefusedKey(base_url=self.base_url, reason=reason)
        timeout = httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_TIMEOUT))
        limits = httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP_ALIVE
        )
        self.openai = openai.OpenAI(
            base_url=url,
            api_key=self._api_key,
            max_retries=0,
            timeout=timeout,
            default_headers=_HEADERS,
            http_client=openai.DefaultHttpxClient(timeout=timeout, limits=limits),
        )
        """To be used within `asking`."""

    @contextmanager
    def asking(self, texts: Sequence[str] = ()) -> Iterator[None]:
        """Errors of the openai package, raised in the block, become ours; these texts are kept out of them."""
        try:
            yield
        # Their tracebacks quote the request and the answer: ours stand alone
        except openai.APIStatusError as error:
            answer = error.response
            raise faults.of_answer(
                error.status_code, answer.headers, answer.content, self.asked(texts)
            ) from None
        except openai.APIConnectionError as error:
            raise faults.of_silence(error, self.base_url) from None

    def asked(self, texts: Sequence[str]) -> faults.Asked:
        return faults.Asked(self.base_url, self._model, self._api_key, texts)

    def close(self) -> None:
        self.openai.close()
