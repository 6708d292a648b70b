"""What providers tell us about mail they took: each one's signature and events, read into one form and written down."""
