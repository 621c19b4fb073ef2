"""``zobench serve``: an encoder behind HTTP, optionally with simulated faults and limits."""
