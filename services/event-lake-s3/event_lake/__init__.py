"""The lake keeps every event; what is here keeps the bodies of the large ones."""
