"""What runs share: progress, checkpoints, processes."""
