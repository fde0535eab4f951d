"""Entry points of the functions, one module each."""
