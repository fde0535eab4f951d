"""``streamctl new``: a service of one's own, copied from a template in whose words the entity is another."""
