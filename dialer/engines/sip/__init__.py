"""The default engine: SIP over UDP trunks, media by our relay.

message        what is on the wire, typed (the one module that reads messages with sippy)
transactions   RFC 3261 17 and RFC 6026: retransmissions, timers, ACK of failures, CANCEL
dialog         RFC 3261 12: route set, CSeq, requests inside a dialog
sdp            RFC 3264 offers and answers for G.711 and RFC 4733
causes         SIP status and Q.850 -> one HangupCause
trunks         which line next: priority, weight, channels, calls a second, pauses
leg            one call to one phone: the state machine above all that
line           REGISTER and OPTIONS towards a trunk
registrar      desks that register to us
journal        dialogs that a killed process left behind
orphan         ending one of them
first_words    ending them before anything else of a node is loaded
transport      the socket and the gate in front of it
engine         the SipEngine itself: a thread for signalling, one door in, events out
"""
