"""Class images in the style of later work: what a picture is made of, how it is looked at, and the ascent."""
