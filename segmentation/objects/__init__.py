"""The several things in one mask: told apart, measured, written and read as COCO has them, compared with true ones."""
