"""Brings notices to the subscribers of their topics, at least once and in their order. Only where the control loop runs.

What a subscriber gets and when it is tried again is decided by notices/; operations on topics are api's business.
"""
