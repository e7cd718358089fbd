"""Layers that the networks of published weights share."""
