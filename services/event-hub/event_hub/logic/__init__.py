"""What rows of a CSV object are worth, free of AWS."""
