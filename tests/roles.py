"""The roles of docs/security.md, made by the guide's own statements."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from psycopg import sql

from orchestrator.embedded.process import CHECKOUT
from reembed.database.connection import Connection

_BLOCKS = re.findall(r"```sql\n(.*?)```", (CHECKOUT / "docs/security.md").read_text(), re.DOTALL)


@dataclass(frozen=True)
class Roles:
    url: str
    """Of the database, with a place for the role."""
    names: dict[str, str]

    def url_of(self, role: str) -> str:
        return self.url.format(role=quote(self.names[role]))


@contextmanager
def made(database: Connection, url: str, *tables: sql.Identifier) -> Iterator[Roles]:
    """The tables belong to their owner; the guide's blocks are run, with names that no other test has.

    `url` is the superuser's. The guide's own table is called documents.
    """
    name = database.info.dbname
    names = {role: f"{role} of {name}" for role in ("documents_owner", "migration", "service")}
    owner = sql.Identifier(names["documents_owner"])
    database.execute(sql.SQL("CREATE ROLE {}").format(owner))
    for table in tables:
        database.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, owner))
    try:
        for block in _BLOCKS:
            for role, unique in names.items():
                block = re.sub(rf"\b{role}\b", f'"{unique}"', block)
            database.execute(block.replace("rag", f'"{name}"').encode())
        at, _, rest = url.removeprefix("postgresql://").partition("@")
        assert at == "postgres"
        yield Roles(f"postgresql://{{role}}@{rest}", names)
    finally:
        roles = [sql.Identifier(unique) for unique in names.values()]
        for one in roles:
            database.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(one))
            database.execute(sql.SQL("DROP OWNED BY {}").format(one))
        for one in reversed(roles):
            database.execute(sql.SQL("DROP ROLE {}").format(one))
