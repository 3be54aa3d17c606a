"""Every test here starts whole processes: nothing is shared between them but the machine."""
