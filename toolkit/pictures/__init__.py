"""Photos and pictures: read, drawn, animated, put on a page."""
