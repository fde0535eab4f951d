"""``streamctl invoke``: plain events, given to a deployed function as what triggers it delivers them."""
