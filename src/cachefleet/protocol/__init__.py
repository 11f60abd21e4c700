"""Bytes <-> dict by the service model's shapes, and SigV4. The only package that knows botocore; knows no operation by name."""
