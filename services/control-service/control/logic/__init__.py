"""What makes an item complete, free of AWS."""
