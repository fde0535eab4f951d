"""The engine: the books of one invocation, fused steps, calls in key order, retries."""
