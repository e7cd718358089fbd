"""Direction discovery: deformators, reconstructors, training and picking."""
