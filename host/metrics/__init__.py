"""Sum the metrics of all processes in Redis, so that any process can report the whole deployment's."""
