"""What the service knows about faults, free of AWS."""
