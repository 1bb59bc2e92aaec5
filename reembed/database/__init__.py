"""PostgreSQL: our ledger and the user's table. All SQL is in schema.sql and queries.sql."""
