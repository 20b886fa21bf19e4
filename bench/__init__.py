"""Measurements against peers and of our own costs; each prints one table."""
