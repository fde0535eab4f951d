"""What a rule is made of: its fields, and the operators and predicates that its fields turn into."""
