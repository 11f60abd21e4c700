"""Snapshots at rest: where they are kept, how they are sealed, and the keys that open them.

Blocking code for a worker process or a thread. Knows no engine and nothing of groups; app brings it together with them.
"""
