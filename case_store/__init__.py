"""Cases, numbers, attempts, recordings, outcomes and next actions: the facts, and the rules that turn one into the next."""
