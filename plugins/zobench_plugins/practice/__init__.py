"""What to do with an edit that was found: edit images, embed images, take it all elsewhere."""
