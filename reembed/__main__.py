"""The `reembed` command. It belongs to the application; a library-only install says so."""

import importlib.util
import sys


def main() -> None:
    if importlib.util.find_spec("orchestrator") is None or importlib.util.find_spec("celery") is None:
        sys.stderr.write(
            "reembed: this is the library alone, for services that search. The command runs from a checkout "
            "(`make setup`) or from the image: see the README.\n"
        )
        raise SystemExit(2)
    from orchestrator.command.main import run

    run()


if __name__ == "__main__":
    main()
