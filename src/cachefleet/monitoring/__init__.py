"""What the API and telemetry share: how metrics are read and computed, and how an alarm changes. Over the seams only."""
