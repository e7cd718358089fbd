"""Segmenters and maps measured against masks."""
