"""Training of image classifiers; as a command it prepares an image data set."""
