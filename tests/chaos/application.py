"""The service whose table is migrated: it inserts, updates and deletes, and remembers what it was promised."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

POISON = "poisonous"
_CONNECT_PATIENCE = 0.2

Text = str | None
"""None: there is no such document."""


@dataclass
class Memory:
    """What one writer knows of its documents: nobody else writes these."""

    texts: dict[int, Text]
    """What was acknowledged last."""
    earlier: dict[int, set[str]] = field(default_factory=dict)
    """Every text that a document ever had, or may have had."""
    unknown: dict[int, set[Text]] = field(default_factory=dict)
    """Writes whose outcome nobody was told, the connection having died: either may hold."""
    broken_promises: list[str] = field(default_factory=list)
    """What the database did not keep."""
    seconds: list[float] = field(default_factory=list)
    """How long each acknowledged statement took."""
    failed: int = 0
    """Statements that the database did not answer, being away."""

    def wrote(self, changes: dict[int, Text]) -> None:
        for key, text in changes.items():
            self._keep(key, self.texts.get(key))
            self._keep(key, text)
            self.texts[key] = text

    def may_have_written(self, changes: dict[int, Text]) -> None:
        for key, text in changes.items():
            self._keep(key, self.texts.get(key))
            self._keep(key, text)
            self.unknown.setdefault(key, {self.texts.get(key)}).add(text)

    def _keep(self, key: int, text: Text) -> None:
        if text:
            self.earlier.setdefault(key, set()).add(text)


class Writer(threading.Thread):
    """Writes at about `per_second` until told to stop. Owns the keys that it was given, and new ones of its own."""

    def __init__(
        self, url: str, number: int, texts: dict[int, Text], per_second: float, chance: random.Random
    ) -> None:
        super().__init__(name=f"application-{number}", daemon=True)
        self.memory = Memory(dict(texts))
        self._url = url
        self._number = number
        self._per_second = per_second
        self._chance = chance
        self._versions = 0
        self._next_key = 1_000_000_000 * (number + 1)
        self._stop_asked = threading.Event()
        self._connection: psycopg.Connection | None = None
        # How it writes, and how often among a hundred writes
        self._ways: dict[Callable[[], None], int] = {
            self._update: 40,
            self._insert: 20,
            self._remove: 9,
            self._update_many: 6,
            self._upsert: 6,
            self._copy: 3,
            self._touch_another_column: 8,
            self._empty: 3,
            self._poison: 2,
            self._heal: 3,
        }

    def ask_to_stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        while not self._stop_asked.wait(self._chance.expovariate(self._per_second)):
            (way,) = self._chance.choices(list(self._ways), list(self._ways.values()))
            way()
        self._settle()

    def _update(self) -> None:
        key = self._some_key()
        self._write("UPDATE documents SET content = %(text)s WHERE id = %(id)s", {key: self._text()})

    def _insert(self) -> None:
        self._write(
            "INSERT INTO documents (id, content) VALUES (%(id)s, %(text)s)", {self._new_key(): self._text()}
        )

    def _remove(self) -> None:
        # Not `_delete`: a Thread calls its own method of that name when it ends
        self._write("DELETE FROM documents WHERE id = %(id)s", {self._some_key(): None})

    def _update_many(self) -> None:
        changes: dict[int, Text] = {self._some_key(): self._text() for _ in range(5)}
        self._write(
            "UPDATE documents d SET content = v.text FROM unnest(%(ids)s::bigint[], %(texts)s::text[]) v(id, text) "
            "WHERE d.id = v.id",
            changes,
        )

    def _upsert(self) -> None:
        key = self._chance.choice((self._some_key(), self._new_key()))
        self._write(
            "INSERT INTO documents (id, content) VALUES (%(id)s, %(text)s) "
            "ON CONFLICT (id) DO UPDATE SET content = EXCLUDED.content",
            {key: self._text()},
        )

    def _copy(self) -> None:
        self._write(
            "COPY documents (id, content) FROM STDIN", {self._new_key(): self._text() for _ in range(3)}
        )

    def _touch_another_column(self) -> None:
        self._write("UPDATE documents SET title = md5(id::text) WHERE id = %(id)s", {}, key=self._some_key())

    def _empty(self) -> None:
        self._write("UPDATE documents SET content = '' WHERE id = %(id)s", {self._some_key(): ""})

    def _poison(self) -> None:
        key = self._some_key()
        self._write(
            "UPDATE documents SET content = %(text)s WHERE id = %(id)s", {key: f"{POISON} {self._text()}"}
        )

    def _heal(self) -> None:
        """Documents that the provider refuses get a text that it takes."""
        refused = [key for key, text in self.memory.texts.items() if text and text.startswith(POISON)]
        for key in refused[:1]:
            self._write("UPDATE documents SET content = %(text)s WHERE id = %(id)s", {key: self._text()})

    def _text(self) -> str:
        """Never the same twice, so that what is embedded twice can be told."""
        self._versions += 1
        return f"version {self._versions} by {self._number} about {self._chance.getrandbits(64):x}"

    def _some_key(self) -> int:
        """Of a document that is there for sure."""
        keys = list(self.memory.texts)
        while True:
            key = self._chance.choice(keys)
            if self.memory.texts[key] is not None and key not in self.memory.unknown:
                return key

    def _new_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def _write(self, statement: str, changes: dict[int, Text], *, key: int | None = None) -> None:
        """One statement, one transaction. Its outcome is acknowledged, or unknown until somebody looks."""
        first = next(iter(changes), key)
        values: dict[str, object] = {"id": first, "text": changes.get(first) if first is not None else None}
        values |= {"ids": list(changes), "texts": list(changes.values())}
        connection = self._connected()
        if connection is None:
            return
        began = time.perf_counter()
        try:
            if statement.startswith("COPY"):
                with connection.cursor() as cursor, cursor.copy(sql.SQL(statement)) as copy:
                    for row in changes.items():
                        copy.write_row(row)
            else:
                connection.execute(statement, values)
        except psycopg.OperationalError:
            self.memory.failed += 1
            self.memory.may_have_written(changes)
            connection.close()
        else:
            self.memory.seconds.append(time.perf_counter() - began)
            self.memory.wrote(changes)

    def _connected(self) -> psycopg.Connection | None:
        """None while the database is away; what is unknown is looked up as soon as it is back."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        try:
            self._connection = psycopg.connect(self._url, autocommit=True, application_name="application")
            self._look_up(self._connection)
        except psycopg.OperationalError:
            if self._connection is not None:
                self._connection.close()
            time.sleep(_CONNECT_PATIENCE)
            return None
        return self._connection

    def _look_up(self, connection: psycopg.Connection) -> None:
        """The dead connection's last transaction is over by now: ended, or rolled back. One of both must hold."""
        for key, possible in list(self.memory.unknown.items()):
            row = connection.execute("SELECT content FROM documents WHERE id = %s", [key]).fetchone()
            found = None if row is None else row[0]
            if found not in possible:
                self.memory.broken_promises.append(f"document {key} has a text that nobody wrote last")
            self.memory.texts[key] = found
            del self.memory.unknown[key]

    def _settle(self) -> None:
        while self._connected() is None:
            pass
        assert self._connection is not None
        self._connection.close()
