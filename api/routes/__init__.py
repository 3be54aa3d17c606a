"""One router a noun, all under /api/v1."""
