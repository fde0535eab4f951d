"""The code of the hub: objects and requests from outside become events on the bus."""
