"""No statement is put together from text; and the check that says so is not passed by what it is there to find."""

import pytest

from orchestrator.embedded.process import CHECKOUT
from tests import sql_sources

ROOMS = ("reembed", "config", "workers", "orchestrator")

# By file and function, with the reason why text that this check cannot follow is as good as a constant
TRUSTED = {
    ("reembed/database/queries.py", "_templates"): "the file of queries is part of the program, like a constant",
    ("reembed/database/queries.py", "verbatim"): "names of types, as PostgreSQL's catalog writes them",
    ("reembed/database/ledger.py", "install"): "schema.sql is part of the program, and nothing is put into it",
    ("reembed/database/distances.py", "indexed"): "VectorType is a Literal: vector or halfvec",
    ("reembed/database/distances.py", "distance"): "VectorType is a Literal: vector or halfvec",
    ("reembed/database/distances.py", "full_similarity"): "VectorType is a Literal: vector or halfvec",
    ("reembed/database/storage.py", "watch.statements"): "sql.Composed, yielded by columns or companion",
    ("reembed/retrieval/composing.py", "_trusted"): "what was composed here, as text again; and the filter that a "
    "service gives, which is SQL by purpose and documented as such",
    ("reembed/retrieval/driver.py", "_fetch"): "Rows.query is annotated as psycopg.sql's, and so is program.setting",
    ("reembed/retrieval/asynchronous.py", "_fetch"): "the same",
    ("orchestrator/validation/asked.py", "from_log"): "VALIDATION_QUERIES_SQL is SQL by purpose: run read-only, in a "
    "cursor of the server's, within a time limit",
}  # fmt: skip

BAD = {
    "an f-string": 'c.execute(f"DROP TABLE {name}")',
    "percent": 'c.execute("DROP TABLE %s" % name)',
    "plus": 'c.execute("DROP TABLE " + name)',
    "plus of constants, where the next person adds a name": 'c.execute("DROP " + "TABLE documents")',
    "str.format": 'c.execute("DROP TABLE {}".format(name))',
    "str.join": 'c.execute(" ".join(["DROP TABLE", name]))',
    "replace": 'c.execute("DROP TABLE x".replace("x", name))',
    "bytes": 'c.execute(f"DROP TABLE {name}".encode())',
    "executemany": 'c.executemany(f"INSERT INTO {name} VALUES (%s)", rows)',
    "copy": 'c.copy(f"COPY {name} FROM STDIN")',
    "stream": 'c.stream(f"SELECT 1 FROM {name}")',
    "libpq": 'c.pgconn.exec_(b"DROP TABLE " + name)',
    "a keyword": 'c.execute(query=f"DROP TABLE {name}")',
    "keywords that nobody sees": "c.execute(**{'query': name})",
    "arguments that nobody sees": "c.execute(*[name])",
    "sql.SQL of an f-string": 'sql.SQL(f"DROP TABLE {name}")',
    "sql.SQL by its keyword": 'sql.SQL(obj=f"DROP TABLE {name}")',
    "sql.SQL of str.format": 'sql.SQL("DROP TABLE {}".format(name))',
    "sql.SQL of a parameter": "def f(name: str): sql.SQL(name)",
    "sql.SQL within another": 'c.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(name)))',
    "sql.SQL within the names of a query": 'queries.compose("search", {"filter": sql.SQL(name)})',
    "sql.SQL by its whole name": "psycopg.sql.SQL(name)",
    "sql.SQL under another name": "from psycopg.sql import SQL as Text",
    "psycopg.sql under another name": "from psycopg import sql as s",
    "psycopg.sql, imported whole": "import psycopg.sql as s",
    "composed and text": 'c.execute(sql.SQL("SELECT 1") + name)',
    "a name": 'def f():\n    query = f"DROP TABLE {name}"\n    c.execute(query)',
    "a name for a name": 'def f():\n    one = f"DROP {name}"\n    two = one\n    c.execute(two)',
    "a name bound twice": 'def f():\n    q = "SELECT 1"\n    if x:\n        q = name\n    c.execute(q)',
    "a name formatted later": 'def f():\n    q = "SELECT {}"\n    q = q.format(name)\n    c.execute(q)',
    "a name added to": 'def f():\n    q = "SELECT 1"\n    q += name\n    c.execute(q)',
    "a constant added to": 'def f():\n    q = "SELECT 1"\n    q += " WHERE true"\n    c.execute(q)',
    "a walrus": 'c.execute(q := f"DROP TABLE {name}")',
    "one of two": 'c.execute("SELECT 1" if x else name)',
    "a loop": 'def f():\n    for q in ("SELECT 1", f"DROP {name}"):\n        c.execute(q)',
    "a loop over what others say": "def f(every):\n    for q in every:\n        c.execute(q)",
    "a part of a tuple": 'def f():\n    q, n = f"DROP {name}", 1\n    c.execute(q)',
    "a context": "def f():\n    with file() as q:\n        c.execute(q)",
    "a parameter": "def f(query): c.execute(query)",
    "a parameter that is any text": "def f(query: str): c.execute(query)",
    "a parameter of a lambda": "run = lambda query: c.execute(query)",
    "a name of the module": 'QUERY = f"DROP TABLE {name}"\ndef f(): c.execute(QUERY)',
    "a name that any function changes": 'Q = "SELECT 1"\ndef g():\n    global Q\n    Q = name\ndef f(): c.execute(Q)',
    "a name hidden by another": 'Q = "SELECT 1"\ndef f(Q): c.execute(Q)',
    "an imported name": "from elsewhere import QUERY\nc.execute(QUERY)",
    "an attribute": "c.execute(self.query)",
    "a table with one bad value": 'T = {1: "SELECT 1", 2: name}\ndef f(): c.execute(T[1])',
    "a table that is changed": 'T = {1: "SELECT 1"}\nT[1] = name\ndef f(): c.execute(T[1])',
    "a function of another module": "c.execute(elsewhere.made(name))",
    "a function that says nothing of its result": "def made(): ...\ndef f(): c.execute(made())",
    "a function whose result is text": "def made() -> str: ...\ndef f(): c.execute(made())",
    "the method, handed on": "list(map(c.execute, statements))",
    "the method, kept": "run = c.execute\nrun(name)",
    "the method by its name": 'getattr(c, "execute")(name)',
    "an await": 'async def f(): await c.execute(f"DROP TABLE {name}")',
}  # fmt: skip

GOOD = {
    "a constant": 'c.execute("SELECT %s", [name])',
    "a constant over two lines": 'c.execute("SELECT " "1")',
    "bytes": 'c.execute(b"SELECT 1")',
    "a query of the file": 'c.execute(queries.compose("search", names), values)',
    "a query of the file, run": 'queries.run(c, "search", names, limit=1)',
    "an identifier": 'c.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))',
    "a join": 'c.execute(sql.SQL(", ").join(map(sql.Identifier, names)))',
    "a name": 'def f():\n    query = sql.SQL("DROP TABLE {}").format(name)\n    c.execute(query)',
    "a name within its value": 'def f():\n    q = sql.SQL("a")\n    q = sql.SQL("({})").format(q)\n    c.execute(q)',
    "composed and composed": 'def f():\n    q = sql.SQL("a").format()\n    q += sql.SQL("b")\n    c.execute(q)',
    "one of two": 'sql.SQL(">=" if x else ">")',
    "a loop": 'def f():\n    for q in ("SELECT 1", "SELECT 2"):\n        c.execute(q)',
    "a name of the module": 'QUERY = sql.SQL("DROP TABLE {t}")\ndef f(): c.execute(QUERY.format(t=name))',
    "a name around the function": 'def f():\n    q = sql.SQL("a").format()\n    def g(): c.execute(q)',
    "a table of the module": 'T = {1: "<=>", 2: "<#>"}\ndef f(): sql.SQL(T[n])',
    "a parameter": "def f(query: sql.Composed): c.execute(query)",
    "a parameter of two kinds": "def f(query: sql.SQL | sql.Composed): c.execute(query)",
    "a function of the module": "def made() -> sql.Composed: ...\ndef f(): c.execute(made())",
    "functions of the module": "def all() -> Iterator[sql.Composed]: ...\ndef f():\n    for q in all(): c.execute(q)",
    "another copy": "vectors.copy()",
}  # fmt: skip


def test_no_sql_is_made_by_formatting_text() -> None:
    found = {
        (path.relative_to(CHECKOUT).as_posix(), doubt.function): f"line {doubt.line}: {doubt.text}"
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("*.py")
        for doubt in sql_sources.doubts(path.read_text())
    }
    assert {place: what for place, what in found.items() if place not in TRUSTED} == {}
    assert set(TRUSTED) <= set(found), "there is nothing to be trusted any more"


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_text_that_may_have_been_put_together_is_a_doubt(source: str) -> None:
    assert sql_sources.doubts(source)


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_what_psycopg_composes_and_what_stands_in_the_source_is_none(source: str) -> None:
    assert not sql_sources.doubts(source)


def test_a_doubt_says_where() -> None:
    (doubt,) = sql_sources.doubts("class A:\n    def f(self, q):\n        c.execute(q.strip())")
    assert doubt == sql_sources.Doubt("A.f", 3, "q.strip()")
