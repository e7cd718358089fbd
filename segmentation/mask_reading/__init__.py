"""How masks, and maps in their place, are read: what a file holds, what a folder's files mean, the truth of each."""
