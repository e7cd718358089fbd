"""Clips: predicted frame by frame, smoothed over time, and written segment by segment."""
