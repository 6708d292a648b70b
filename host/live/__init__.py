"""Live channels: publish messages in Redis, and follow them from any process without gaps or doubles."""
