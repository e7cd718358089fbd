"""What flags name: generators, direction sets, segmenters, photos."""
