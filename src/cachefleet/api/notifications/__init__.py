"""SNS's topics, subscriptions and messages."""
