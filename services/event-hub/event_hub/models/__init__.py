"""What goes in: the settings, and the contract of custom events."""
