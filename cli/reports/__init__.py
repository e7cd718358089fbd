"""What is shown at the end: pages, and the commands that come next."""
