"""The server of `toolkit serve`: photos in, masks and what is made of them out, over HTTP."""
