"""A pretrained backbone that stays as it is: the features of images, a linear head on them, and one training."""
