"""`streamctl dev`: what is saved runs a moment later, and what it does is shown."""
