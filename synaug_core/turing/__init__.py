"""A visual Turing test: can people tell synthetic images from real ones?"""
