"""The loadable module by which engines check IAM tokens themselves (C), how it is compiled, and what it is told."""
