"""Celery workers: embed one chunk. tasks.py is the door, backfill.py the room behind it."""
