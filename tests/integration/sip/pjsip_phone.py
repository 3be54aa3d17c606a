"""A PJSIP phone in a process of its own (past its limits a C assertion aborts): answers, speaks a wav, keeps what it hears.

``pjsip_phone.py PORT SPEAK.wav HEARD.wav``; prints "ready" when it listens; ends after its first call.
"""

from __future__ import annotations

import sys
import time

import pjsua2 as pj

PORT, SPEAK, HEARD = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Call(pj.Call):
    over = False

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        audio = self.getAudioMedia(-1)
        self.player = pj.AudioMediaPlayer()
        self.player.createPlayer(SPEAK, pj.PJMEDIA_FILE_NO_LOOP)
        self.player.startTransmit(audio)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(HEARD)
        audio.startTransmit(self.recorder)

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        if self.getInfo().state == pj.PJSIP_INV_STATE_DISCONNECTED:
            Call.over = True


class Account(pj.Account):
    call: Call | None = None

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self.call = Call(self, prm.callId)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        self.call.answer(answer)


endpoint = pj.Endpoint()
endpoint.libCreate()
settings = pj.EpConfig()
settings.uaConfig.threadCnt = 0
settings.uaConfig.mainThreadOnly = True
settings.medConfig.clockRate = settings.medConfig.sndClockRate = 8000
settings.medConfig.noVad = True
settings.medConfig.ecTailLen = 0
settings.logConfig.level = settings.logConfig.consoleLevel = 1
endpoint.libInit(settings)
transport = pj.TransportConfig()
transport.port, transport.boundAddress = PORT, "127.0.0.1"
endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
endpoint.libStart()
endpoint.audDevManager().setNullDev()
for codec in endpoint.codecEnum2():
    endpoint.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith("PCMA/8000") else 0)
account = Account()
config = pj.AccountConfig()
config.idUri = f"sip:phone@127.0.0.1:{PORT}"
config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
account.create(config)
print("ready", flush=True)
deadline = time.monotonic() + 40
while not Call.over and time.monotonic() < deadline:
    endpoint.libHandleEvents(10)
account.call = None
account.shutdown()
endpoint.libDestroy()
