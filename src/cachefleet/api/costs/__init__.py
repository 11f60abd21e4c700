"""Reserved nodes, prices and what was used."""
