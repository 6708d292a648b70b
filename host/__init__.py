"""The application around the plugins: HTTP server, sign-in, permissions, database, jobs, plugin loading."""
