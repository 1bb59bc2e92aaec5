"""Brokers as production has them, from Debian's packages: a RabbitMQ node, and a Redis with TLS and an access list.

Each is a process of its own in a directory of its own; the system's services are left alone.
"""

import secrets
import shutil
import subprocess
from pathlib import Path

import redis

from orchestrator.embedded import ports
from orchestrator.embedded.process import Process

# The package's own wrapper would change to another user first
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = Path("/usr/bin/epmd")
# The one that comes in a wheel has no TLS
REDIS = Path("/usr/bin/redis-server")
START_SECONDS = 60.0


class RabbitMQ:
    """One node, with a user and a password of its own."""

    def __init__(self, directory: Path) -> None:
        self._reserved = [ports.reserve() for _ in range(3)]
        self._port, distribution, mapper = map(ports.number, self._reserved)
        self._password = secrets.token_hex()
        configuration = directory / "rabbitmq.conf"
        configuration.write_text(
            f"listeners.tcp.default = {ports.HOST}:{self._port}\n"
            f"default_user = reembed\ndefault_pass = {self._password}\n"
            "log.console = true\nlog.file = false\ndisk_free_limit.absolute = 10MB\n"
        )
        plugins = directory / "plugins"
        plugins.write_text("[].")
        environment = {
            # Erlang's cookie is made there
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"reembed-{self._port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        # Erlang's port mapper: the node would start one for everybody, which would outlive it
        mapping = [str(EPMD), "-address", ports.HOST, "-port", str(mapper)]
        self._mapper = Process("epmd", mapping, directory / "epmd.log")
        self._process = Process("RabbitMQ", [RABBITMQ], directory / "rabbitmq.log", environment=environment)

    @property
    def url(self) -> str:
        return f"amqp://reembed:{self._password}@{ports.HOST}:{self._port}//"

    def start(self) -> None:
        self._mapper.start()
        self._process.start()
        self._process.wait_for_log("Server startup complete", START_SECONDS)

    def stop(self) -> None:
        """At once: nothing of it is kept."""
        self._process.kill()
        self._mapper.kill()
        for reserved in self._reserved:
            reserved.close()


class SecureRedis:
    """TLS alone, by a certificate that its own authority signed; one user beside the administrator."""

    def __init__(self, directory: Path, rule: str) -> None:
        """`rule` is a line of Redis's access list, with PASSWORD in the place of the password."""
        self._reserved = ports.reserve()
        self._port = ports.number(self._reserved)
        self._password, self._administrator = secrets.token_hex(), secrets.token_hex()
        self._authority = _certificates(directory)
        users = directory / "users.acl"
        users.write_text(
            f"user default on >{self._administrator} ~* &* +@all\n{rule.replace('PASSWORD', self._password)}\n"
        )
        files = {"cert": "server.crt", "key": "server.key", "ca-cert": "authority.crt"}
        tls = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(directory / file))]
        command = [str(REDIS), "--bind", ports.HOST, "--port", "0", "--tls-port", str(self._port), *tls]
        command += [
            "--tls-auth-clients",
            "no",
            "--aclfile",
            str(users),
            "--dir",
            str(directory),
            "--save",
            "",
        ]
        self._process = Process("Redis", command, directory / "redis.log")

    @property
    def url(self) -> str:
        return self._url("reembed", self._password)

    def administrator(self) -> redis.Redis:
        return redis.Redis.from_url(self._url("default", self._administrator))

    def start(self) -> None:
        self._process.start()
        self._process.wait_for_log("Ready to accept connections", START_SECONDS)

    def stop(self) -> None:
        self._process.terminate()
        self._reserved.close()

    def _url(self, user: str, password: str) -> str:
        where = f"{ports.HOST}:{self._port}/0"
        return f"rediss://{user}:{password}@{where}?ssl_cert_reqs=required&ssl_ca_certs={self._authority}"


def _certificates(directory: Path) -> Path:
    """An authority of our own and, signed by it, a server's certificate; the former's certificate."""
    openssl = shutil.which("openssl") or "openssl"

    def certify(name: str, *arguments: str) -> None:
        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}"]
        subprocess.run([openssl, *new, *files, *arguments], cwd=directory, check=True, capture_output=True)

    # "critical", or OpenSSL's strict checks, which Python asks for since 3.13, refuse it
    certify("authority", "-addext", "keyUsage=critical,keyCertSign")
    signed = ["-CA", "authority.crt", "-CAkey", "authority.key"]
    names = ["-addext", f"subjectAltName=IP:{ports.HOST}", "-addext", "basicConstraints=critical,CA:FALSE"]
    certify("server", *signed, *names)
    return directory / "authority.crt"
