"""Makes every speech clip this product ships: ``python -m dialer.simulated.clips.make_clips [NAME…]``.

A developer's command, not the product's: it needs Debian's espeak-ng and sox. espeak-ng speaks Mandarin
properly only from numbered pinyin (``-v cmn-latn-pinyin``). Each clip is 8 kHz mono FLAC, cut to the
telephone band, trimmed, and rounded to steps of 64, which halves the file and is below G.711's own noise
on speech.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

CLIPS = Path(__file__).parent
DIALER = CLIPS.parent.parent
ANNOUNCEMENTS = DIALER / "progress" / "announcements"
PROMPTS = DIALER / "prompts"
ROUNDING = 64

MANDARIN = "cmn-latn-pinyin"
ENGLISH = "en-us"


@dataclass(frozen=True, slots=True)
class Spoken:
    """One clip: file name without suffix, espeak voice, pitch 0..99, words a minute, what is said, how espeak reads it."""

    name: str
    voice: str
    pitch: int
    speed: int
    text: str
    reading: str


def _mandarin(name: str, variant: str, pitch: int, text: str, pinyin: str, speed: int = 205) -> Spoken:
    return Spoken(name, f"{MANDARIN}+{variant}", pitch, speed, text, pinyin)


def _english(name: str, variant: str, pitch: int, text: str, speed: int = 180) -> Spoken:
    return Spoken(name, f"{ENGLISH}+{variant}", pitch, speed, text, text)


_SORRY = "dui4 bu5 qi3, "
_THE_LINE = "nin2 bo1 da3 de5 dian4 hua4 "
_THE_USER = "nin2 bo1 da3 de5 yong4 hu4 "

NETWORK = (
    _mandarin(
        "not-in-service",
        "f2",
        50,
        "对不起，您拨打的号码是空号，请核对后再拨",
        _SORRY + "nin2 bo1 da3 de5 hao4 ma3 shi4 kong1 hao4, qing3 he2 dui4 hou4 zai4 bo1",
    ),
    _mandarin("switched-off", "f2", 50, "对不起，您拨打的电话已关机", _SORRY + _THE_LINE + "yi3 guan1 ji1"),
    _mandarin("suspended", "f2", 50, "对不起，您拨打的电话已停机", _SORRY + _THE_LINE + "yi3 ting2 ji1"),
    _mandarin(
        "unreachable",
        "f2",
        50,
        "对不起，您拨打的电话暂时无法接通，请稍后再拨",
        _SORRY + _THE_LINE + "zan4 shi2 wu2 fa3 jie1 tong1, qing3 shao1 hou4 zai4 bo1",
    ),
    _mandarin(
        "in-a-call", "f2", 50, "对不起，您拨打的用户正在通话中", _SORRY + _THE_USER + "zheng4 zai4 tong1 hua4 zhong1"
    ),
    _mandarin("no-answer", "f2", 50, "您拨打的电话暂时无人接听", _THE_LINE + "zan4 shi2 wu2 ren2 jie1 ting1"),
    _mandarin("service-paused", "f2", 50, "您拨打的号码已暂停服务", "nin2 bo1 da3 de5 hao4 ma3 yi3 zan4 ting2 fu2 wu4"),
    _mandarin("barred", "f2", 50, "您拨打的用户已设置呼入限制", _THE_USER + "yi3 she4 zhi4 hu1 ru4 xian4 zhi4"),
    _mandarin("network-busy", "f2", 50, "网络忙，请稍后再拨", "wang3 luo4 mang2, qing3 shao1 hou4 zai4 bo1"),
    _english("not-in-service-en", "f3", 50, "The number you have dialed is not in service."),
    _english("switched-off-en", "f3", 50, "The subscriber you dialed is powered off."),
    _english("unreachable-en", "f3", 50, "The person you have called is not available right now."),
)

PEOPLE = (
    _mandarin("greeting-m", "m3", 45, "喂，你好", "wei2, ni3 hao3"),
    _mandarin("greeting-f", "f4", 60, "喂，哪位", "wei2, na3 wei4"),
    _mandarin("greeting-office", "m1", 55, "你好，这里是办公室", "ni3 hao3, zhe4 li3 shi4 ban4 gong1 shi4"),
    _mandarin("goodbye-m", "m3", 45, "好，再见", "hao3, zai4 jian4"),
    _mandarin("goodbye-f", "f4", 60, "好的，再见", "hao3 de5, zai4 jian4"),
    _mandarin(
        "debtor-negotiates-m",
        "m3",
        45,
        "我最近手头有点紧，过几天再说吧",
        "wo3 zui4 jin4 shou3 tou2 you3 dian3 jin3, guo4 ji3 tian1 zai4 shuo1 ba5",
    ),
    _mandarin(
        "debtor-negotiates-f",
        "f4",
        60,
        "这个月我还不上，能不能分几次还",
        "zhe4 ge5 yue4 wo3 huan2 bu2 shang4, neng2 bu5 neng2 fen1 ji3 ci4 huan2",
    ),
    _mandarin(
        "debtor-promises-500-m",
        "m3",
        45,
        "好的，我后天先还五百块",
        "hao3 de5, wo3 hou4 tian1 xian1 huan2 wu3 bai3 kuai4",
    ),
    _mandarin(
        "debtor-promises-1000-f", "f4", 60, "我明天还你们一千块", "wo3 ming2 tian1 huan2 ni3 men5 yi4 qian1 kuai4"
    ),
    _mandarin(
        "debtor-raises-funds-m",
        "m3",
        45,
        "我正在借钱，五天以内给你们",
        "wo3 zheng4 zai4 jie4 qian2, wu3 tian1 yi3 nei4 gei3 ni3 men5",
    ),
    _mandarin("relative-passes-on-f", "f4", 65, "他不在家，我会转告他", "ta1 bu2 zai4 jia1, wo3 hui4 zhuan3 gao4 ta1"),
    _mandarin(
        "relative-negotiates-f",
        "f4",
        65,
        "我是他爱人，我们商量一下再说",
        "wo3 shi4 ta1 ai4 ren2, wo3 men5 shang1 liang5 yi2 xia4 zai4 shuo1",
    ),
    _mandarin(
        "relative-refuses-m",
        "m1",
        50,
        "我跟他没关系，请不要再打来了",
        "wo3 gen1 ta1 mei2 guan1 xi5, qing3 bu2 yao4 zai4 da3 lai2 le5",
    ),
    _mandarin(
        "colleague-out-m", "m1", 55, "他出去开会了，不在办公室", "ta1 chu1 qu4 kai1 hui4 le5, bu2 zai4 ban4 gong1 shi4"
    ),
    _mandarin("colleague-left-m", "m1", 55, "他早就离职了", "ta1 zao3 jiu4 li2 zhi2 le5"),
    _mandarin("wrong-number-f", "f4", 60, "你打错了，没有这个人", "ni3 da3 cuo4 le5, mei2 you3 zhe4 ge5 ren2"),
    _mandarin(
        "machine-greeting",
        "f2",
        55,
        "您好，我现在不方便接听电话，请在嘀声后留言",
        "nin2 hao3, wo3 xian4 zai4 bu4 fang1 bian4 jie1 ting1 dian4 hua4, qing3 zai4 di1 sheng1 hou4 liu2 yan2",
    ),
    _english("greeting-en", "m3", 45, "Hello?"),
    _english("goodbye-en", "m3", 45, "Okay, goodbye."),
    _english("debtor-negotiates-en", "m3", 45, "Money is tight this month, can we talk next week?"),
    _english("debtor-promises-200-en", "m3", 45, "Fine, I will pay two hundred tomorrow."),
    _english("relative-passes-on-en", "f4", 60, "He is not at home, I will tell him you called."),
    _english("colleague-out-en", "f4", 55, "She is in a meeting right now."),
    _english("wrong-number-en", "m1", 50, "You have the wrong number."),
    _english(
        "machine-greeting-en",
        "f3",
        50,
        "Hi, nobody can take your call right now. Please leave a message after the tone.",
    ),
)

COLLECTORS = (
    _mandarin(
        "collector-opens-f", "f5", 55, "您好，请问是机主本人吗", "nin2 hao3, qing3 wen4 shi4 ji1 zhu3 ben3 ren2 ma5"
    ),
    _mandarin(
        "collector-asks-f",
        "f5",
        55,
        "您看什么时候方便处理一下",
        "nin2 kan4 shen2 me5 shi2 hou5 fang1 bian4 chu3 li3 yi2 xia4",
    ),
    _mandarin("collector-closes-f", "f5", 55, "好的，谢谢您，再见", "hao3 de5, xie4 xie5 nin2, zai4 jian4"),
)

ANNOUNCED = (
    _mandarin(
        "recording-announcement",
        "f2",
        45,
        "您好，这里是诚远公司，本次通话将被录音",
        "nin2 hao3, zhe4 li3 shi4 cheng2 yuan3 gong1 si1, ben3 ci4 tong1 hua4 jiang1 bei4 lu4 yin1",
    ),
    _mandarin(
        "abandonment",
        "f2",
        45,
        "您好，这里是诚远公司，坐席正忙，稍后再与您联系，再见",
        "nin2 hao3, zhe4 li3 shi4 cheng2 yuan3 gong1 si1, zuo4 xi2 zheng4 mang2, shao1 hou4 zai4 yu3 nin2 lian2 xi4, zai4 jian4",
    ),
    _english("recording-announcement-en", "f3", 45, "This is Chengyuan. This call is recorded."),
    _english("abandonment-en", "f3", 45, "This is Chengyuan. All our agents are busy, we will call you back. Goodbye."),
)

EVERYTHING: dict[Path, tuple[Spoken, ...]] = {
    ANNOUNCEMENTS: NETWORK,
    CLIPS: PEOPLE + COLLECTORS,
    PROMPTS: ANNOUNCED,
}


def make(spoken: Spoken, directory: Path) -> Path:
    """Speak it, cut it to the telephone band, write ``directory/name.flac``."""
    with tempfile.TemporaryDirectory() as scratch:
        said, heard = Path(scratch) / "said.wav", Path(scratch) / "heard.wav"
        speak = ["espeak-ng", "-v", spoken.voice, "-p", str(spoken.pitch), "-s", str(spoken.speed), "-w", str(said)]
        subprocess.run([*speak, spoken.reading], check=True)  # noqa: S603  # fixed words of ours
        trim = ["silence", "1", "0.02", "0.5%", "reverse", "silence", "1", "0.02", "0.5%", "reverse"]
        shape = ["sinc", "200-3400", "rate", "8000", *trim, "pad", "0.05", "0.1", "norm", "-4"]
        subprocess.run(["sox", str(said), "-c", "1", "-b", "16", str(heard), *shape], check=True)  # noqa: S603, S607  # a developer's command; sox is where Debian puts it
        pcm, rate = soundfile.read(heard, dtype="int16")
    rounded = np.clip(np.round(pcm / ROUNDING) * ROUNDING, -32768, 32767).astype(np.int16)
    path = directory / f"{spoken.name}.flac"
    soundfile.write(path, rounded, rate, subtype="PCM_16")
    return path


def main(names: list[str]) -> None:
    total = 0
    for directory, clips in EVERYTHING.items():
        directory.mkdir(parents=True, exist_ok=True)
        for spoken in clips:
            if names and spoken.name not in names:
                continue
            path = make(spoken, directory)
            total += path.stat().st_size
            seconds = soundfile.info(path).duration
            sys.stdout.write(f"{path.name:34} {seconds:5.2f} s {path.stat().st_size:7} bytes  {spoken.text}\n")
    sys.stdout.write(f"{total} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
