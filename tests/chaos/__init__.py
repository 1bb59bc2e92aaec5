"""A whole migration under fire: `python -m tests.chaos --seconds 600 --seed 1`.

An application writes without pause, everything that can be killed is killed, the provider answers with every fault it
has. At the end every document is looked at: none may be lost, stale or wrong.
"""
