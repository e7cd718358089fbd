"""TF-Hub modules: read without TensorFlow, and run with it."""
