"""The user's table, named once: every query is composed from these names."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from psycopg import sql

from reembed import errors
from reembed.database import queries

Storage = Literal["column", "companion"]
"""Where the new vectors live: in the documents table, or in a table of their own."""

# PostgreSQL cuts longer identifiers silently, so a name that we derive must not get there
_LONGEST_IDENTIFIER = 63


class InvalidTableName(errors.Usage):
    """DOCUMENTS_TABLE={text} is not a table's name: {problem}.

    Write table or schema.table; double quotes protect a dot, as in "my.table".
    """


class NameTooLong(errors.Usage):
    """NEW_COLUMN={column} is too long: {derived} has more than 63 bytes.

    Set NEW_COLUMN to a shorter name.
    """


class NoRoomBesideOldColumn(errors.Usage):
    """The column {column} cannot be migrated under its name: `cleanup` would need {derived}, more than 63 bytes.

    Rename the column first.
    """


class NameTaken(errors.Usage):
    """NEW_COLUMN={column} cannot be used: {derived} would be two columns.

    Set NEW_COLUMN to another name.
    """


def parse(text: str) -> tuple[str | None, str]:
    """`schema.table` or `table`, taken literally; double quotes protect a dot and are doubled inside quotes.

    Raises InvalidTableName.
    """
    parts, rest = [], text
    while True:
        if rest.startswith('"'):
            # Split at the first quote that is not doubled
            end = 1
            while (end := rest.find('"', end)) != -1 and rest[end : end + 2] == '""':
                end += 2
            if end == -1:
                raise InvalidTableName(text=text, problem="a double quote is not closed")
            part, rest = rest[1:end].replace('""', '"'), rest[end + 1 :]
        else:
            part, dot, after = rest.partition(".")
            rest = dot + after
        parts.append(part)
        if not rest:
            break
        if not rest.startswith("."):
            raise InvalidTableName(text=text, problem="there is text after a closing quote")
        rest = rest[1:]
    if not all(parts):
        raise InvalidTableName(text=text, problem="a part of it is empty")
    if len(parts) > 2:
        raise InvalidTableName(text=text, problem=f"it has {len(parts)} parts")
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])


def written(schema: str | None, name: str) -> str:
    """What `parse` reads as this: in double quotes only where it has to be."""
    parts = [part for part in (schema, name) if part is not None]
    return ".".join(quoted(None, part) if "." in part or part.startswith('"') else part for part in parts)


def quoted(schema: str | None, name: str) -> str:
    """For the catalog's to_regclass()."""
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (schema, name) if part is not None)


@dataclass(frozen=True)
class Table:
    """A documents table with the columns of one migration."""

    schema: str
    name: str
    id: str
    content: str
    old: str
    new: str
    key_type: str
    """bigint, uuid or text: what keys are cast to; smaller integers and varchar compare with these by index."""
    companion: str | None = None
    """The table that the new vectors stand in, in the same schema; None: in this one."""
    names: Mapping[str, sql.Composable] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for derived in self.added:
            if len(derived.encode()) > _LONGEST_IDENTIFIER:
                raise NameTooLong(column=self.new, derived=derived)
        for derived in (self.old_model, self.old_hash):
            if len(derived.encode()) > _LONGEST_IDENTIFIER:
                raise NoRoomBesideOldColumn(column=self.old, derived=derived)
        taken = {self.id, self.content, self.old, self.old_model, self.old_hash}
        if clash := next((derived for derived in self.added if derived in taken), None):
            raise NameTaken(column=self.new, derived=clash)
        names: dict[str, sql.Composable] = {
            "table": queries.identifier(self.schema, self.name),
            "id": queries.identifier(self.id),
            "content": queries.identifier(self.content),
            "old": queries.identifier(self.old),
            "new": queries.identifier(self.new),
            "new_model": queries.identifier(self.new_model),
            "new_hash": queries.identifier(self.new_hash),
            "old_stale": queries.identifier(self.old_stale),
            "key_type": sql.SQL(_KEY_TYPES[self.key_type]),
            "trigger": queries.identifier("~reembed"),
            "old_trigger": queries.identifier("~reembed_old"),
            "insert_trigger": queries.identifier("~reembed_insert"),
            "delete_trigger": queries.identifier("~reembed_gone"),
            # Named for the table, so that two migrated tables do not share a function
            "trigger_function": queries.identifier("reembed", derive("stale", self.schema, self.name)),
            "index": queries.identifier(self.new_index),
            "pending_index": queries.identifier(self.pending_index),
            # The row that the new vector stands in, and what brings it to the document's
            "v": sql.SQL("n" if self.companion else "d"),
            "joined": sql.SQL(""),
        }
        if self.companion:
            names["companion"] = queries.identifier(self.schema, self.companion)
            names["joined"] = queries.compose("joined", names)
        object.__setattr__(self, "names", names)

    @property
    def vectors(self) -> str:
        """The table that the new vectors stand in."""
        return self.companion or self.name

    @property
    def new_model(self) -> str:
        return f"{self.new}_model"

    @property
    def new_hash(self) -> str:
        return f"{self.new}_hash"

    @property
    def old_model(self) -> str:
        """What `cleanup` calls the new column's model; there before, where an earlier migration was cleaned up."""
        return f"{self.old}_model"

    @property
    def old_hash(self) -> str:
        return f"{self.old}_hash"

    @property
    def old_stale(self) -> str:
        """True where the text changed after the old vector was made."""
        return f"{self.new}_old_stale"

    @property
    def added(self) -> tuple[str, ...]:
        """The columns that a migration adds."""
        return self.new, self.new_model, self.new_hash, self.old_stale

    @property
    def new_index(self) -> str:
        return derive(self.name, self.new, "idx")

    @property
    def pending_index(self) -> str:
        return derive(self.name, self.new, "pending", "idx")

    @property
    def old_pending_index(self) -> str:
        return derive(self.name, self.old, "pending", "idx")

    @property
    def quoted(self) -> str:
        return quoted(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def companion_of(name: str, new: str) -> str:
    """What the companion of a table is called."""
    return derive(name, new)


_KEY_TYPES = {"bigint": "bigint", "uuid": "uuid", "text": "text"}


def derive(*parts: str) -> str:
    """A name made of `parts` that no other parts have: readable as far as it fits, then a digest of all of them.

    Two long names may begin alike, and a_b.c and a.b_c read alike; what bears such a name is dropped by it.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).hexdigest()
    room = _LONGEST_IDENTIFIER - len(digest) - 1
    return "_".join(parts).encode()[:room].decode(errors="ignore") + "_" + digest
