"""One short function per operation: validate, write desired state and an event, return a view, wake the controller."""
