"""Plan limits: request rates counted in Redis, and quotas counted in the database in the caller's transaction."""
