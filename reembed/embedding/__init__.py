"""A provider: texts in, float32 vectors out. Knows nothing of tables, chunks or Celery."""
