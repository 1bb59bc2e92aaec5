"""`doctor`: everything that a migration will need, looked at before it needs it. Nothing is written."""
