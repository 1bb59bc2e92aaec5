"""A disk that is full: a real one of two megabytes, where one can be mounted, otherwise a trigger that says so."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from psycopg import sql

from orchestrator.embedded import account
from tests.installation import Installation

_SAYS_SO = """
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/16385/16391": No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER no_space BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION no_space()
"""


class FullDisk(Protocol):
    def fill(self) -> None: ...

    def make_room(self) -> None: ...


class _Mounted:
    """The table documents, in a tablespace on a disk of its own."""

    def __init__(self, directory: Path) -> None:
        self._rest = directory / "somebody's file"

    def fill(self) -> None:
        with suppress(OSError), self._rest.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        self._rest.unlink()


class _Said:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def fill(self) -> None:
        with self._installation.connect() as database:
            database.execute(_SAYS_SO)

    def make_room(self) -> None:
        with self._installation.connect() as database:
            database.execute("DROP FUNCTION no_space CASCADE")


@contextmanager
def under(installation: Installation) -> Iterator[FullDisk]:
    """The disk under the documents of an installation, to be filled."""
    # Postgres, which may be another account than ours, has to reach it
    with tempfile.TemporaryDirectory(prefix="reembed-disk-", dir="/tmp") as made:
        directory = Path(made)
        if not _mount(directory):
            yield _Said(installation)
            return
        space = sql.Identifier(directory.name)
        try:
            inner = directory / "space"
            inner.mkdir()
            if owner := account.Account.for_postgres():
                os.chown(inner, owner.uid, owner.gid)
            with installation.connect() as database:
                database.execute(
                    sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(space, sql.Literal(str(inner)))
                )
                database.execute(sql.SQL("ALTER TABLE documents SET TABLESPACE {}").format(space))
            try:
                yield _Mounted(directory)
            finally:
                with installation.connect() as database:
                    database.execute("DROP TABLE documents")
                    database.execute(sql.SQL("DROP TABLESPACE {}").format(space))
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


def _mount(directory: Path) -> bool:
    """Two megabytes, where we may."""
    with suppress(OSError):
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(directory)]
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    return False
