"""Rules, flavors, units of work and faults for Lambda functions that process streams."""
