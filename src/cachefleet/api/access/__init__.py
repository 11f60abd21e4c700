"""Users of caches, users of the API, and what either may do."""
