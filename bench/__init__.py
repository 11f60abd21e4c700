"""Measurements of the running product, each next to its target. `make bench` prints them, `--write` keeps them in the docs.

Nothing here fails on a time: a figure that misses its target says so in the table.
"""
