"""Members of a tenant and their roles: joining, leaving and inviting; an owner always remains."""
