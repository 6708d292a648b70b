"""A WebSocket that says what was said."""
