"""CheXpert: its tables, and the films that they name."""
