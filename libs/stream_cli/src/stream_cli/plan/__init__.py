"""What a system needs at a given load: capacity, lag, latency and cost, from its compiled templates."""
