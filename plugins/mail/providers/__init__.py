"""The ways a message leaves the host."""
