"""Every figure that a document states, as a command that prints it: ours beside a peer or a limit, in one run."""
