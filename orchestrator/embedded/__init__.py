"""Postgres, Redis and the embedding server from wheels: a whole installation in one context.

`stack.running()` starts them, `workforce.Workforce` adds the Celery processes. For the demo and the tests.
"""
