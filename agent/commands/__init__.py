"""One file a command: what it asks of a run, and how its answer is printed."""
