"""What may be done with items, free of HTTP and of storage."""
