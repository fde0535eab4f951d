"""What goes in and out by HTTP."""
