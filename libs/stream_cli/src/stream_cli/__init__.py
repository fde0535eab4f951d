"""streamctl: the whole system on a laptop, checks before deployment, replay and resubmit."""
