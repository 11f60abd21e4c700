"""What logs mean: entries and their forms, patterns by which they are found. Pure."""
