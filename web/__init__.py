"""The browser app: plain files, served by ``api.app``."""
