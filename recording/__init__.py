"""The tape, the seal, the vault and the proofs: what a person said, kept whole and provable."""
