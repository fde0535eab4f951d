"""The rules of the stream functions, one module each."""
