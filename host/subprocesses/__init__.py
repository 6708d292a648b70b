"""Run functions in spawned processes with limits of memory and time."""
