"""Plan, start, advance, validate, switch, clean up: what moves a migration from state to state, and the command."""
