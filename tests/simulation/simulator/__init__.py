"""A simulated AWS in virtual time, in which the real handlers of all services run."""
