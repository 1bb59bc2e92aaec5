"""Flower lets in who has an account, and nobody else, however it is started.

Left to itself it shows its page to everybody where no account is set, and its metrics to everybody even where one is.
"""

from collections.abc import Sequence

import tornado.web
from flower.views import monitor
from tornado.options import options

from reembed import errors


class NoAccount(errors.Usage):
    """Flower does not start: FLOWER_BASIC_AUTH {problem}, and its page would be open to everybody.

    Set it to user:password.
    """


def check(accounts: Sequence[str] | None, emails: str) -> None:
    """Flower's options `basic_auth` and `auth`: accounts, or whose sign-on elsewhere it trusts. Raises NoAccount."""
    if emails and not accounts:
        return
    if not any(accounts or ()):
        raise NoAccount(problem="is not set")
    for account in accounts or ():
        user, _, password = account.partition(":")
        if not (user and password):
            raise NoAccount(problem="is not user:password (a comma begins another account)")


def check_options() -> None:
    """What Flower goes by, once it has read environment, arguments and configuration file. Raises NoAccount."""
    check(options.basic_auth, options.auth)


def close_metrics() -> None:
    """Flower's /metrics ask for the account, too; Prometheus is told by `reembed metrics`. /healthcheck stays open."""
    monitor.Metrics.get = tornado.web.authenticated(monitor.Metrics.get)
