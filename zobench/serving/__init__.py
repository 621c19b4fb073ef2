"""``zobench serve``: an encoder behind HTTP, as a real service or as a difficult one."""
