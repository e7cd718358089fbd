"""What comes from outside: read with bounds, said by name where it is something else, and never run."""
