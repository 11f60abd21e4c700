"""What metrics mean: values and their statistics, blocks of them, formulas. Pure."""
