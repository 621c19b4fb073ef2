"""Tables, boards and bars of the command line."""
