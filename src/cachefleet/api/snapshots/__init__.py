"""Snapshots, and caches that are made from them."""
