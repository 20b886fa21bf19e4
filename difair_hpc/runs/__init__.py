"""A run on disk: its spec and signature, folder, spool, tracking and the function that executes it."""
