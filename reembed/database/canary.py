"""The canary: a share of all keys, before the switch. A function of key, migration and share, and of nothing else."""

import hashlib

BUCKETS = 100


def bucket(migration: int, key: str) -> int:
    """Where a key stands among all keys of a migration, from 0 to 99. The same as reembed.bucket() in schema.sql.

    With the migration in it, so that it is not always the same users who go first.
    """
    digest = hashlib.sha256(f"{migration}:{key}".encode()).digest()
    return int.from_bytes(digest[:4]) % BUCKETS


def chosen(migration: int, key: str | None, percent: int) -> bool:
    """Whether the key is in the canary. While the share only rises, a key that is in it stays; without a key, never."""
    return key is not None and percent > 0 and bucket(migration, key) < percent
