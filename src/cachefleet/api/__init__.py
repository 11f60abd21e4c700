"""One short function per operation: validate, write desired state and an event, return a view, wake the controller.

What is where: `registry` runs operations, `operations` imports them all, `context` is what they are given. Operations stand in
the module of their noun: `replication_groups`, `replication_group_*`, `cache_clusters`, `cache_cluster_*`, `subnet_groups`,
`parameter_groups`, `parameter_group_*`, `engine_versions`, `events`, `tags`, `sts`. Modules named `group_*` serve both kinds
of rows that have nodes, replication groups and clusters of their own: `group_rows` reads and writes them, `group_state` puts
their state into words, `group_validation` reads what requests ask of both. The `*_topology` modules decide nodes, with
`placement` and `slots`; the `*_views` modules show them. `names`, `arns`, `windows`, `tag_rules` and `paging` read what
callers write.
"""
