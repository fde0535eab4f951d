"""The engine: what is left to do in an invocation, compiled steps, calls in key order, retries."""
