"""The rules of each function, one module each."""
