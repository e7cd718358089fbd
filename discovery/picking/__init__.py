"""Which direction darkens the background: scores, finalists, consensus."""
