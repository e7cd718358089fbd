"""Clips: frames of any video file, upright and with their times, and files that hold what is made of them."""
