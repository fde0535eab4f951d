"""The fields of a rule, and the operators and predicates that flavors make of them."""
