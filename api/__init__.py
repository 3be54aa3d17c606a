"""The only doors: HTTP, WebSocket and the command line."""
