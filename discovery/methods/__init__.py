"""Ways to find directions, one module or folder a method."""
