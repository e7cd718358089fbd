"""The page of `toolkit browse`: server, guard, pictures."""
