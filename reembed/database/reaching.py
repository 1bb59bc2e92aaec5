"""Why a database cannot be reached, in plain words: functions of the URL, and of what libpq says.

libpq says more than a person needs, and quotes what may be a part of the password. Nothing that it quotes is repeated
but the names of a role and of a database.
"""

import re
from collections.abc import Mapping
from typing import Any

# What libpq says of a URL that it cannot read, in the order in which these are looked for
_UNREADABLE = (
    ('missing "="', "it does not begin with postgresql://"),
    ("unexpected spaces", "a space in it has to be written as %20"),
    ("percent-encoded", "a percent sign in it has to be written as %25"),
    ("IPv6", "the square brackets around its host are not in order"),
    ("unexpected character", "what follows its host is neither a port nor a database"),
    ("URI query parameter", "what follows its question mark is no option of libpq's"),
    ("connection option", "it names an option that libpq does not have"),
    ("quoted string", "a quote in it is not closed"),
)
# And of a server that it did not get into
_UNREACHED = (
    (r'password authentication failed for user "(.*?)"', "the server refused the password of the role {}"),
    (r"no password supplied", "the server wants a password, and the URL has none"),
    (r'role "(.*?)" does not exist', "the server has no role {}"),
    (r'database "(.*?)" does not exist', "the server has no database {}"),
    (r"pg_hba\.conf", "the server lets nobody in from here as this role, by its pg_hba.conf"),
    (r"Connection refused|No such file or directory", "nobody listens there"),
    (r"failed to resolve host|could not translate host name", "nobody knows a host of this name"),
    (r"timeout expired", "it does not answer"),
    (r"invalid port number", "there is no such port"),
)
# Who said it, before what was said
_WHO = re.compile(r"^(connection (failed|is bad): )?(connection to server .*? failed: )?((FATAL|ERROR): +)?")


def unreadable(said: str) -> str:
    """What is wrong with a URL that libpq does not take."""
    return next((words for sign, words in _UNREADABLE if sign in said), "it cannot be read")


def unreached(url: str, parts: Mapping[str, Any], said: str) -> str:
    """Why the server of a URL, which consists of these parts, did not let us in."""
    if _is_split_wrongly(url, parts):
        return "a password with @, / or : in it has these as %40, %2F and %3A"
    for pattern, words in _UNREACHED:
        if found := re.search(pattern, said):
            return words.format(*found.groups())
    return _WHO.sub("", said.strip().splitlines()[0]) if said.strip() else "nobody says why"


def where(url: str, parts: Mapping[str, Any]) -> str:
    """Host, port and database, and no part of the password."""
    if _is_split_wrongly(url, parts):
        return url.rpartition("@")[2].partition("?")[0]
    host = parts.get("host") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"


def _is_split_wrongly(url: str, parts: Mapping[str, Any]) -> bool:
    """Whether libpq took a part of the password for the host, the port or the database."""
    place = f"{parts.get('host') or ''}/{parts.get('dbname') or ''}"
    return "://" in url and ("@" in place or not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")))
