"""Direction sets beside each other."""
