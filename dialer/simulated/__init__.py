"""A carrier, agents' phones and a sample placement on loopback: real SIP and RTP by a peer that shares no code with our engine."""
