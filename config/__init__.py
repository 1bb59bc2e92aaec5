"""What an operator sets: the settings of a migration, the Celery application and its schedule."""
