"""What clients have uploaded and what jobs have answered: the contents of files, by id.

They end with the server, however it ends: in memory, or beyond a size in files that no directory names.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.embedding_server import refusals

MAX_BYTES = 200_000_000
"""Of a job's input. OpenAI says 200 MB; whoever keeps to this meets either reading of that."""
BYTES_IN_MEMORY = 1_000_000


class File:
    """One file. Its contents live as long as somebody holds it, so that deleting it takes it from no job under way."""

    def __init__(self, name: str, contents: bytes, purpose: str) -> None:
        self.id = f"file-{secrets.token_hex(12)}"
        self.name = name
        self.purpose = purpose
        self.bytes = len(contents)
        self.created_at = int(time.time())
        self._kept = tempfile.SpooledTemporaryFile(max_size=BYTES_IN_MEMORY)  # noqa: SIM115  closed with its owner
        self._kept.write(contents)

    def contents(self) -> bytes:
        self._kept.seek(0)
        return self._kept.read()

    def report(self) -> dict[str, object]:
        """As OpenAI describes a file."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


@dataclass
class Files:
    _kept: dict[str, File] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[File]:
        """The newest first."""
        return reversed(self._kept.values())

    def add(self, file: File) -> File:
        self._kept[file.id] = file
        return file

    def find(self, file_id: str) -> File | None:
        return self._kept.get(file_id)

    def get(self, file_id: str) -> File:
        """Raises Refusal for an unknown id."""
        if file := self.find(file_id):
            return file
        raise refusals.unknown_file(file_id)

    def delete(self, file_id: str) -> None:
        """Raises Refusal for an unknown id."""
        del self._kept[self.get(file_id).id]
