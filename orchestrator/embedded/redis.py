"""A real `redis-server`, on a loopback port of its own, that keeps what it was told across a restart."""

from pathlib import Path

from orchestrator.embedded import binaries, ports, process

START_SECONDS = 15.0


class Redis:
    """One server. `launch` and `wait_until_ready` start it, `stop` ends it; its directory keeps the data."""

    def __init__(self, directory: Path) -> None:
        # Unlike the other two, Redis cannot pick a port and tell us
        self._reserved = ports.reserve()
        self._port = ports.number(self._reserved)
        data = directory / "redis"
        data.mkdir(exist_ok=True)
        command = [
            str(binaries.redis_server()),
            "--bind",
            ports.HOST,
            "--port",
            str(self._port),
            "--dir",
            str(data),
        ]
        # What any broker of Celery should have: on disk within a second, and never an evicted message
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        # The append-only file is enough: no snapshots beside it
        command += ["--save", ""]
        # Tests give every installation a pair of its own; a message for one must never reach another's worker
        command += ["--databases", "512"]
        self._process = process.Process("Redis", command, directory / "redis.log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, db: int = 0) -> str:
        return f"redis://{ports.HOST}:{self._port}/{db}"

    def launch(self) -> None:
        """Start it without waiting for it."""
        self._process.start()

    def wait_until_ready(self) -> None:
        self._process.wait_for_log("Ready to accept connections", START_SECONDS)

    def restart(self) -> None:
        """Ends every connection; the data and the URL stay. Also brings it back after `kill`."""
        self._process.terminate()
        self.launch()
        self.wait_until_ready()

    def stop(self) -> None:
        """End it, if it runs, and give up its port."""
        try:
            self._process.terminate()
        finally:
            self._reserved.close()

    def kill(self) -> None:
        """Let it crash: what has not been written is lost."""
        self._process.kill()
