"""What did the network say? Status, cause, tones and spoken announcements become one ``Progress``. Pure; no I/O but the
reading of reference recordings in ``announcements.read_library``."""
