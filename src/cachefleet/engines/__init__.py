"""One driver per engine: its words and nothing else. Does not spawn, choose addresses, retry, sleep or know AWS names."""
