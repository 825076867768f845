"""Do the images of today look like those that the model was judged on? Science only: features in, figures out."""
