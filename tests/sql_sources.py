"""Where the SQL of a source file comes from, by its syntax tree.

What is run as SQL has to be one of these:

1. a string constant
2. a query of queries.sql, by `queries.compose`, `run` or `one`: a name that is looked up in the file, so that it needs
   no look here
3. a `psycopg.sql` object. Each of them begins at `sql.SQL(...)`, which takes a constant alone; its `.format` and
   `.join` quote whatever else is put in
4. a name for one of these: bound in the same function or module, every time to the same kind; or a parameter, or the
   result of a function of the same module, that is annotated as a `psycopg.sql` object, which mypy holds others to

Everything else is a doubt: an f-string, `%`, `+`, str.format, str.join, a value that came from elsewhere.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["constant", "composed"]
"""A constant may be run, and may not be put together with anything; what psycopg.sql composed may."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# What sends a statement, and the names that its first parameter has in psycopg
RUNS = {"execute", "executemany", "copy", "stream", "exec_", "exec_params", "send_query", "send_query_params"}
_KEYWORDS = {"query", "statement", "obj"}
_COMPOSERS = {"SQL", "Identifier", "Literal", "Placeholder", "Composed"}
_COMPOSED = {"sql.SQL", "sql.Composed", "sql.Composable", "sql.Identifier"}
_QUERIES = {"compose", "identifier", "verbatim"}


@dataclass(frozen=True)
class Doubt:
    function: str
    """Its name, with the classes and functions around it; empty at the level of the module."""
    line: int
    text: str
    """The statement's source."""


def doubts(source: str) -> list[Doubt]:
    """Every statement of a file that may have been made from text."""
    module = ast.parse(source)
    return list(_Reader(module).read(module, (), ""))


class _Reader:
    def __init__(self, module: ast.Module) -> None:
        self._module = module
        self._functions = {
            node.name: node
            for node in module.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        # Bound in more functions than the one that is looked at
        self._shared = {
            name
            for node in ast.walk(module)
            if isinstance(node, ast.Global | ast.Nonlocal)
            for name in node.names
        }

    def read(self, node: ast.AST, around: tuple[Function, ...], name: str) -> Iterator[Doubt]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{name}.{node.name}".lstrip(".")
        if isinstance(node, Function):
            around = (*around, node)
        called: ast.expr | None = None
        if isinstance(node, ast.Call):
            called = node.func
            statement = _statement(node)
            if statement is not None and not self._is_sound(node, statement, around):
                yield Doubt(name, node.lineno, ast.unparse(statement))
        elif _hides(node):
            yield Doubt(name, getattr(node, "lineno", 0), ast.unparse(node))
        for child in ast.iter_child_nodes(node):
            # A method that is handed on instead of called would run whatever it is called with
            if child is not called and isinstance(child, ast.Attribute) and _runs(child):
                yield Doubt(name, child.lineno, ast.unparse(child))
            yield from self.read(child, around, name)

    def _is_sound(self, call: ast.Call, statement: ast.expr, around: tuple[Function, ...]) -> bool:
        kind = self._kind(statement, around, frozenset())
        return kind == "constant" if _name(call.func) == "SQL" else kind is not None

    def _kind(self, value: ast.expr, around: tuple[Function, ...], asked: frozenset[str]) -> Kind | None:
        """None is a doubt. `asked` are the names that led here."""
        match value:
            case ast.Constant(value=str() | bytes()):
                return "constant"
            case ast.Name(id=name):
                # A name within its own value is what its other values are
                return "composed" if name in asked else self._bound(name, around, asked | {name})
            case ast.NamedExpr(value=inner):
                return self._kind(inner, around, asked)
            case ast.IfExp(body=one, orelse=other):
                return self._all([one, other], around, asked)
            case ast.Subscript(value=ast.Name(id=name)):
                return self._of_table(name, around, asked)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = {self._kind(part, around, asked) for part in (left, right)}
                return "composed" if parts == {"composed"} else None
            case ast.Call():
                return "composed" if self._composes(value, around, asked) else None
        return None

    def _composes(self, call: ast.Call, around: tuple[Function, ...], asked: frozenset[str]) -> bool:
        match call.func:
            case ast.Attribute(value=ast.Name(id="sql"), attr=name):
                return name in _COMPOSERS
            case ast.Attribute(value=ast.Name(id="queries"), attr=name):
                return name in _QUERIES
            case ast.Attribute(value=of, attr="format" | "join"):
                return self._kind(of, around, asked) == "composed"
            case ast.Name(id=name) if name in self._functions:
                return _is_composed(self._functions[name].returns)
        return False

    def _all(
        self, values: list[ast.expr], around: tuple[Function, ...], asked: frozenset[str]
    ) -> Kind | None:
        """What all of them are; of two kinds the one with which less may be done."""
        kinds = {self._kind(one, around, asked) for one in values}
        if not kinds or None in kinds:
            return None
        return "constant" if "constant" in kinds else "composed"

    def _bound(self, name: str, around: tuple[Function, ...], asked: frozenset[str]) -> Kind | None:
        """What a name stands for, in the innermost function that binds it, otherwise in the module."""
        for depth in range(len(around), -1, -1):
            scope: Function | ast.Module = around[depth - 1] if depth else self._module
            outside = around[:depth]
            kinds = {self._binding(one, outside, asked) for one in _bindings(scope, name)}
            if kinds:
                # Now the one, now the other: nobody can tell what `.format` of it does
                return kinds.pop() if len(kinds) == 1 and name not in self._shared else None
        return None

    def _binding(self, node: ast.AST, around: tuple[Function, ...], asked: frozenset[str]) -> Kind | None:
        match node:
            case ast.arg(annotation=annotation):
                return "composed" if _is_composed(annotation) else None
            case ast.Assign(value=value, targets=[ast.Name()]) | ast.NamedExpr(value=value):
                return self._kind(value, around, asked)
            case ast.AnnAssign(value=ast.expr() as value):
                return self._kind(value, around, asked)
            case ast.AugAssign(op=ast.Add(), value=value):
                # To a constant it would add text
                return "composed" if self._kind(value, around, asked) == "composed" else None
            case ast.For(target=ast.Name(), iter=every) | ast.comprehension(target=ast.Name(), iter=every):
                return self._every(every, around, asked)
        return None

    def _every(self, values: ast.expr, around: tuple[Function, ...], asked: frozenset[str]) -> Kind | None:
        match values:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._all(parts, around, asked)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                match self._functions[name].returns:
                    case ast.Subscript(slice=of) if _is_composed(of):
                        return "composed"
        return None

    def _of_table(self, name: str, around: tuple[Function, ...], asked: frozenset[str]) -> Kind | None:
        """Of a dict of the module that is bound once, to its values, and never changed."""
        if any(_bindings(scope, name) for scope in around):
            return None
        match _bindings(self._module, name):
            case [ast.Assign(value=ast.Dict(values=values)) | ast.AnnAssign(value=ast.Dict(values=values))]:
                changed = any(_changes(node, name) for node in ast.walk(self._module))
                return None if changed else self._all(values, (), asked)
        return None


def _statement(call: ast.Call) -> ast.expr | None:
    """The SQL of a call, where it is one that takes SQL."""
    if not (_runs(call.func) or _name(call.func) == "SQL"):
        return None
    if call.args:
        return call.args[0]
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in _KEYWORDS:
            return keyword.value
    return None


def _name(function: ast.expr) -> str | None:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def _runs(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr in RUNS


def _hides(node: ast.AST) -> bool:
    """Whether names would be others from here on: `from psycopg.sql import SQL as Text`, `getattr(c, "execute")`."""
    if isinstance(node, ast.ImportFrom):
        renamed = any(alias.name in ("sql", "queries") and alias.asname for alias in node.names)
        return renamed or node.module in ("psycopg.sql", "reembed.database.queries")
    if isinstance(node, ast.Import):
        return any(alias.name == "psycopg.sql" for alias in node.names)
    return isinstance(node, ast.Constant) and node.value in RUNS - {"copy", "stream"}


def _is_composed(annotation: ast.expr | None) -> bool:
    """`sql.Composed`, or several such."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _is_composed(annotation.left) and _is_composed(annotation.right)
    return annotation is not None and ast.unparse(annotation) in _COMPOSED


def _bindings(scope: Function | ast.Module, name: str) -> list[ast.AST]:
    """Every node in the scope, and in no function within it, that gives the name a value."""
    found: list[ast.AST] = []
    if isinstance(scope, Function):
        given = scope.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        found += [one for one in every if one is not None and one.arg == name]
    body = [scope.body] if isinstance(scope, ast.Lambda) else scope.body
    for node in body:
        found += _bindings_in(node, name)
    return found


def _bindings_in(node: ast.AST, name: str) -> Iterator[ast.AST]:
    inner = isinstance(node, Function | ast.ClassDef)
    if getattr(node, "name", None) == name or (isinstance(node, ast.alias) and node.asname == name):
        # A function, a class, an exception, a pattern, an import
        yield node
    targets = [child for child in ast.iter_child_nodes(node) if _is_target(child, name)]
    if targets:
        yield node
    if not inner:
        for child in ast.iter_child_nodes(node):
            if child not in targets:
                yield from _bindings_in(child, name)


def _is_target(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)


def _changes(node: ast.AST, name: str) -> bool:
    """Whether the dict's values may be others after this: `name[...] = ...`, `name.update(...)`."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return _name(node.value) == name
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
        return node.attr not in ("get", "items", "keys", "values")
    return False
