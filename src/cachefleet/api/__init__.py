"""One short function per operation: validate, write desired state and an event, return a view, wake the controller.

Operations stand in the package of their resource, in the module of their noun. Here is what all of them share: `registry` runs
operations, `operations` imports them all, `context` is what they are given; `names`, `arns`, `windows`, `tag_rules` and
`paging` read what callers write; `tags`, `events`, `resource_tagging` and the reports are about resources of every kind.
"""
