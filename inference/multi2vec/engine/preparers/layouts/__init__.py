"""How a picture becomes what a vision tower takes, one kind of layout in each module. Numpy and Pillow alone."""
