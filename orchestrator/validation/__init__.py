"""Judging the new vectors against the old ones. What is pure here is tested without a database."""
