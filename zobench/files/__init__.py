"""Files that survive a crash: replaced as a whole or appended by lines; no pickle."""
