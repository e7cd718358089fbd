"""The verbs of `import toolkit` about masks: making pairs and networks, and using a network."""
