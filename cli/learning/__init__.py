"""From a folder of photos to a segmenter in one run: the stages of `toolkit learn`, its plan, verdicts and report."""
