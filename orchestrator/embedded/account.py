"""Postgres refuses to run as root: where we are root, as in most containers, it runs as `nobody`.

That account must be able to reach what it runs and what it writes. Only directories of our own are handed
over to it; no other permission is changed, because the rest of the file system belongs to somebody.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reembed import errors

UNPRIVILEGED = "nobody"


class NoUnprivilegedAccount(errors.Usage):
    """Postgres refuses to run as root, and there is no account `{name}` to run it as.

    Run this as another user.
    """


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @classmethod
    def for_postgres(cls) -> "Account | None":
        """None where we may run it ourselves."""
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            raise NoUnprivilegedAccount(name=UNPRIVILEGED) from None
        return cls(entry.pw_uid, entry.pw_gid)


def as_user(account: Account | None) -> dict[str, Any]:
    """The arguments with which `subprocess` runs a program as this account; none for None, ourselves."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def anyone_can_reach(path: Path) -> bool:
    """Whether an account without rights of its own may enter this directory, from the root downwards."""
    path = path.resolve()
    return all(directory.stat().st_mode & stat.S_IXOTH for directory in (path, *path.parents))
