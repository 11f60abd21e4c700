"""Rows, member names and events in SQL. The only package that knows SQLAlchemy."""
