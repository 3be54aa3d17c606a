"""Placement files in: read, map, normalise, refuse. Pure of the database; nothing is ever guessed."""
