"""Faults: what failed and why, and handing the original records to the functions that failed again."""
