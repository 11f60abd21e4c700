"""Plain data: what is asked for, remembered, seen, decided and shown. No behaviour beyond derived properties."""
