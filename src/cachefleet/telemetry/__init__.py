"""What is measured of caches and of this service, and where it goes."""
