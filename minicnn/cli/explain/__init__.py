"""Commands that explain images: classes, maps, boxes, units."""
