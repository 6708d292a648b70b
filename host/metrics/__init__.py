"""Show what all processes of this machine measure, and gather each tenant's daily use in Redis."""
