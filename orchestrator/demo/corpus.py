"""Real documents without shipping any: the docstrings of the standard library and of the installed packages.

Source files are parsed, never imported, so that none of their code runs. The order is the same each time and
mixes the subjects: standard library first, then the packages, within each by a hash of the module's name. So
the first thousand documents are about everything, and are found without reading all files.
"""

import ast
import hashlib
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST_CHARACTERS = 60
LONGEST_BYTES = 8_000
"""A text of so many bytes stays below the 8,192 tokens that a model takes, whatever its language."""

SKIPPED_DIRECTORIES = frozenset({"__pycache__", "dist-packages", "site-packages", "test", "tests", "testing"})

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Document:
    name: str
    """Such as `json.dumps`."""
    text: str

    @property
    def content(self) -> str:
        """What is stored, embedded and shown: the name first, so that a search result can be read."""
        return f"{self.name}\n\n{self.text}"


def documents(limit: int | None = None) -> Iterator[Document]:
    """Different documents in an order that depends only on what is installed; all of them without a limit."""
    seen: set[str] = set()
    for module, path in _modules():
        for document in _docstrings(module, path):
            if document.text in seen or not _is_usable(document.text):
                continue
            seen.add(document.text)
            yield document
            if len(seen) == limit:
                return


def _modules() -> Iterator[tuple[str, Path]]:
    """Name and file of every module, standard library first."""
    paths = sysconfig.get_paths()
    for root in dict.fromkeys(Path(paths[name]) for name in ("stdlib", "purelib", "platlib")):
        found = [(_module_name(path.relative_to(root)), path) for path in root.rglob("*.py")]
        wanted = [
            item for item in found if not SKIPPED_DIRECTORIES.intersection(item[1].relative_to(root).parts)
        ]
        yield from sorted(wanted, key=lambda item: (hashlib.blake2b(item[0].encode()).digest(), item[1]))


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _docstrings(module: str, path: Path) -> Iterator[Document]:
    """The docstrings of a module, its classes, functions and methods; none of a file that is not Python."""
    try:
        with warnings.catch_warnings():
            # Other people's invalid escapes are not our user's concern
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for name, node in _definitions(module, tree):
        text = ast.get_docstring(node)
        if text:
            yield Document(name, text)


def _definitions(name: str, node: ast.Module | Definition) -> Iterator[tuple[str, ast.Module | Definition]]:
    """The node itself and what is defined in it; a function's inner functions are its own affair."""
    yield name, node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for child in node.body:
            if isinstance(child, Definition):
                yield from _definitions(f"{name}.{child.name}", child)


def _is_usable(text: str) -> bool:
    """Long enough to mean something, short enough to embed, and text that Postgres can store."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return len(text) >= SHORTEST_CHARACTERS and size <= LONGEST_BYTES and "\x00" not in text
