"""A request's life: limit, identify, verify, decode, dispatch, encode, log."""
