"""Faults: lists what failed and why, and invokes the functions that failed with the original records again."""
