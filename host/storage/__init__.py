"""Object storage: a local folder or S3, seen through a namespace that holds tenant and plugin in the key."""
