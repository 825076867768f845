"""What disturbed test images and attacks do to a trained classifier."""
