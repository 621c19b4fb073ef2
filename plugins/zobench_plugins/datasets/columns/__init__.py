"""Tables of images: conditions on columns, sensitive attributes, and all faults at once."""
