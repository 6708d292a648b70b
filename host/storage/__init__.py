"""File storage in a local folder or S3, with keys that always begin with the tenant and the plugin."""
