"""The catalogue's migrations, and one more to be rolled out."""
