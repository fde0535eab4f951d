"""What commands show and how they stop: progress, the tail of a log, stop signals."""
