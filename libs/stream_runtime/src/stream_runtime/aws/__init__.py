"""The way to AWS: clients, and signed requests to what has no client."""
