"""What caches cost: prices of node types, what is offered for reservations, what those take off, what is used. Pure."""
