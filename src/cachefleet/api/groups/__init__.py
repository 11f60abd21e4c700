"""Replication groups and cache clusters: made, shown, changed, deleted.

Modules named `group_*` serve both kinds of rows that have nodes, replication groups and clusters of their own: `group_rows`
reads and writes them, `group_state` puts their state into words, `group_validation` reads what requests ask of both. The
`*_topology` modules decide nodes, with `placement` and `slots`; the `*_views` modules show them.
"""
