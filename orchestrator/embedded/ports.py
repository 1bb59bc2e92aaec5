"""A loopback port that stays ours, also while nobody listens on it."""

import socket

HOST = "127.0.0.1"


def reserve() -> socket.socket:
    """A socket that is bound and never listens; its port is ours until it is closed.

    The system gives a port that is bound to nobody who lets it choose, and connections to it are refused. A server
    that asks for the port by its number gets it, because both say SO_REUSEADDR, as servers do, and ours does not
    listen (Linux). So two servers that start at once never meet, and one that restarts finds its port free.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((HOST, 0))
    return reserved


def number(reserved: socket.socket) -> int:
    port: int = reserved.getsockname()[1]
    return port
