"""The corpus: real docstrings in a fixed order, read without running anything."""

import sys
import sysconfig
from itertools import islice, pairwise
from pathlib import Path

import pytest

from orchestrator.demo import corpus, loading

MODULE = '''"""A module whose docstring is certainly long enough to be taken as a document."""

raise RuntimeError("this module was run")

class Box:
    """A box, described by a docstring that is long enough to be taken as a document."""

    async def open(self):
        """Open the box, as this docstring explains at the length at which it is taken."""

    def close(self):
        """Too short."""
'''
LONG = "A docstring that is long enough to be a document, and that several modules have in common."


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty standard library."""
    paths = {name: str(tmp_path) for name in ("stdlib", "purelib", "platlib")}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    return tmp_path


def write(path: Path, source: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source if isinstance(source, bytes) else source.encode())


def test_modules_classes_and_methods_are_found_by_their_dotted_names_without_running_them(
    library: Path,
) -> None:
    write(library / "toys" / "__init__.py", MODULE)
    write(library / "toys" / "boxes.py", MODULE.replace("taken", "chosen"))
    names = {document.name for document in corpus.documents()}
    assert names == {
        "toys",
        "toys.Box",
        "toys.Box.open",
        "toys.boxes",
        "toys.boxes.Box",
        "toys.boxes.Box.open",
    }


def test_duplicates_tests_and_what_cannot_be_read_or_stored_are_left_out(library: Path) -> None:
    write(library / "good.py", f'"""{LONG}"""')
    write(library / "same_again.py", f'"""{LONG}"""')
    write(library / "tests" / "of_it.py", f'"""{LONG} In a test."""')
    write(library / "not_python.py", f'"""{LONG} Broken.""" def')
    write(library / "not_text.py", b'"""' + LONG.encode() + b'\xff"""')
    write(library / "zero_byte.py", f'"""{LONG} \\0"""')
    write(library / "surrogate.py", f'"""{LONG} \\ud800"""')
    write(library / "endless.py", f'"""{LONG * 200}"""')
    write(library / "bad_escape.py", f'"""{LONG} \\d"""')
    texts = sorted(document.text for document in corpus.documents())
    assert texts == [LONG.strip(), f"{LONG} \\d"]


def test_the_order_is_the_same_each_time_and_a_limit_takes_its_beginning() -> None:
    first = list(corpus.documents(300))
    assert list(corpus.documents(100)) == first[:100]
    assert len({document.text for document in first}) == 300


def test_reading_the_corpus_imports_none_of_it() -> None:
    before = set(sys.modules)
    list(corpus.documents(300))
    assert not {name for name in set(sys.modules) - before if not name.startswith("encodings")}


def test_there_are_at_least_five_thousand_documents_of_many_modules() -> None:
    documents = list(corpus.documents(5_000))
    assert len(documents) == 5_000
    assert len({document.name.split(".")[0] for document in documents[:1_000]}) > 30


def test_a_document_shows_its_name_first() -> None:
    assert corpus.Document("json.dumps", "Serialize.").content == "json.dumps\n\nSerialize."


def test_ids_are_sparse_with_large_gaps_and_the_same_each_time() -> None:
    ids = list(islice(loading.sparse_ids(), 2_000))
    steps = [after - before for before, after in pairwise(ids)]
    assert ids == list(islice(loading.sparse_ids(), 2_000))
    assert ids[:5] == [1, 2, 6, 10, 11]
    assert min(steps) == 1
    assert steps.count(100_000) == 2
