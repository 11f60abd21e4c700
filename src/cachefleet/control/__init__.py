"""The loop: load, observe, plan, save, execute, look again."""
