"""``python -m bench.relay``: how many bridged taped calls one core carries without loss, beside a bare loop's figures.

The relay has one core to itself, the load (its own process) the others; CPU is the relay's own, by rusage, its flushing
threads included. A call is 100 packets a second, each taped before it is forwarded. The floor is the same work by a bare
receive-append-send loop. ``--calls N``: that many calls only. ``--floor``: the floor only. ``--latency``: from the relay's
patch command to the first customer audio at the agent, at 100 calls. Takes about a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.machine import core_wait_seconds, describe_machine
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.media.client import LegCounters, MediaFirstAudio, MediaRelay, RemoteMedia, TapeTrouble
from dialer.media.commands import STATUS_SECONDS
from recording.recorder import Recorder

RESULTS = Path(__file__).parent / "results"
STEPS = (300, 500, 700, 900, 1100)
LATEST_MS = 200.0  # p99; later than this, phones and our own filling silence have given a packet up
_CORES = sorted(os.sched_getaffinity(0))


class Load:
    """The load process; it stays until ``release``, so that nothing is sent to a port that is gone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, seconds: float, ports: list[int]) -> Load:
        process = await asyncio.create_subprocess_exec(
            *(("nice", "-n", "-10") if os.geteuid() == 0 else ()),  # stands for another machine
            sys.executable, "-m", "bench.rtp_load", str(seconds), *map(str, ports),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return cls(process)

    async def report(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found

    async def release(self) -> None:
        await self._process.communicate(b"")


def confine(process: int) -> str:
    """The process and all its threads on the last core, this one and what it starts on the others."""
    cores = _CORES
    if len(cores) < 2:
        return "one core for everything"
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cores[-1]})
    os.sched_setaffinity(0, set(cores[:-1]))
    return "a core of its own"


async def bridged(calls: int, seconds: float) -> dict[str, Any]:
    """``calls`` patched pairs, 50 packets a second each way for ``seconds``."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        recorder = Recorder(RecordingSettings(directory=Path(folder) / "tapes", low_watermark_bytes=0), SystemClock())
        relay = MediaRelay(runtime_dir=Path(folder) / "run")
        await relay.start()
        assert relay.pid is not None
        where = confine(relay.pid)
        ports = []
        media = RemoteMedia(host="127.0.0.1", port=9, codec="PCMA", payload_type=8, telephone_event_pt=101)
        for at in range(calls):
            tape = recorder.arm(f"call_{at}")
            one = await relay.open_leg(f"c{at}", kind="customer", tape=tape.path, bind_host="127.0.0.1")
            other = await relay.open_leg(f"d{at}", kind="desk", tape=None, bind_host="127.0.0.1")
            ports += [one.port, other.port]
            await relay.patch(f"c{at}", f"d{at}")
        # Silence would be filled in from the moment the remote is known: describe all remotes last, start at once.
        for at in range(calls):
            await relay.set_remote(f"c{at}", media)
            await relay.set_remote(f"d{at}", media)
        await asyncio.sleep(0.3)
        before, waited = relay.status["cpu_seconds"], core_wait_seconds(relay.pid)
        load = await Load.start(seconds, ports)
        result = await load.report()
        waited = core_wait_seconds(relay.pid) - waited
        counters = await _when_all_is_taken(relay, calls)
        await asyncio.sleep(2 * STATUS_SECONDS)
        cpu = relay.status["cpu_seconds"] - before
        await load.release()
        troubles = 0
        await relay.close()
        async for event in relay.events():
            troubles += isinstance(event, TapeTrouble)
    dropped: dict[str, int] = {}
    for one in counters:
        for reason, number in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
    received, forwarded = sum(one.received for one in counters), sum(one.forwarded for one in counters)
    return {
        "calls": calls,
        "seconds": seconds,
        "relay_on": where,
        "sent": result["sent"],
        "received": received,
        "forwarded": forwarded,
        "lost": int(result["sent"]) - forwarded,
        "dropped": dropped,
        "tape_troubles": troubles,
        "relay_cpu_share": round(cpu / seconds, 3),
        "relay_waited_for_its_core": round(waited / seconds, 3),
        "us_per_packet": round(cpu / received * 1e6, 2),
        "calls_per_core_extrapolated": round(received / cpu / 100),  # a call is 100 packets a second
        "forwarding_ms": result["forwarding_ms"],
        "load_late_ms": result["late_ms"],
    }


async def _when_all_is_taken(relay: MediaRelay, calls: int) -> list[LegCounters]:
    """On a busy machine packets still wait in the sockets: they are late, not lost."""
    before = -1
    while True:
        counters = [await relay.counters(name) for at in range(calls) for name in (f"c{at}", f"d{at}")]
        now = sum(one.received for one in counters)
        if now == before:
            return counters
        before = now
        await asyncio.sleep(0.3)


def floor_loop(pairs: int, folder: str, pipe: Connection) -> None:
    """Receive, append the packet to a file, send it back: nothing checked, nothing rewritten, nothing counted."""
    poll = select.epoll()
    work: dict[int, tuple[socket.socket, int]] = {}
    for at in range(pairs):
        file = os.open(f"{folder}/{at}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for _ in range(2):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind(("127.0.0.1", 0))
            poll.register(sock, select.EPOLLIN)
            work[sock.fileno()] = (sock, file)
    pipe.send([sock.getsockname()[1] for sock, _file in work.values()])
    buffer = bytearray(2048)
    view = memoryview(buffer)
    _size, target = work[poll.poll()[0][0]][0].recvfrom_into(view)  # all the load comes from one address
    calls = {one: (sock.recv_into, file, sock.sendto) for one, (sock, file) in work.items()}
    begin = time.process_time()
    packets = 0
    write = os.write
    while (ready := poll.poll(0.1, 512)) or not pipe.poll():  # told to stop, it still takes what waits
        for descriptor, _ in ready:
            receive, file, send = calls[descriptor]
            size = receive(view)
            write(file, view[:size])
            send(view[:size], target)
            packets += 1
    pipe.send((time.process_time() - begin, packets))


async def floor(calls: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        here, there = Pipe()
        process = Process(target=floor_loop, args=(calls, folder, there))
        process.start()
        assert process.pid is not None
        confine(process.pid)
        ports = here.recv()
        load = await Load.start(seconds, ports)
        result = await load.report()
        here.send("stop")
        cpu, packets = here.recv()
        process.join()
        await load.release()
    return {
        "calls": calls,
        "sent": result["sent"],
        "received": packets,
        "cpu_share": round(cpu / seconds, 3),
        "us_per_packet": round(cpu / packets * 1e6, 2),
        "calls_per_core_extrapolated": round(packets / cpu / 100),
        "forwarding_ms": result["forwarding_ms"],
    }


async def carried(most: int, seconds: float, until: float) -> dict[str, Any]:
    """More and more calls on one core until a packet is lost or late, ``most`` is reached, or the time is over."""
    steps = []
    for calls in (step for step in STEPS if step <= most):
        if time.monotonic() > until:
            break
        one = await bridged(calls, seconds)
        steps.append(one)
        if not _is_carried(one):
            break
    clean = [one["calls"] for one in steps if _is_carried(one)]
    return {"calls_carried_without_loss": max(clean, default=0), "steps": steps}


def _is_carried(step: dict[str, Any]) -> bool:
    on_time = step["forwarding_ms"].get("p99", 0.0) < LATEST_MS
    return not step["lost"] and not step["tape_troubles"] and on_time


async def everything(seconds: float) -> dict[str, Any]:
    """The ladder, and the floor at 300 calls beside it."""
    ladder = await carried(STEPS[-1], seconds, time.monotonic() + 50)
    bare = await floor(300, seconds)
    like = next(one for one in ladder["steps"] if one["calls"] == 300)
    return {
        "calls_carried_without_loss_on_one_core": ladder["calls_carried_without_loss"],
        "calls_per_core_extrapolated": like["calls_per_core_extrapolated"],
        "us_per_packet": like["us_per_packet"],
        "floor_us_per_packet": bare["us_per_packet"],
        "times_the_floor": round(like["us_per_packet"] / bare["us_per_packet"], 2),
        "forwarding_ms": like["forwarding_ms"],
        "steps": ladder["steps"],
        "floor": bare,
    }


async def patch_latency(calls: int, tries: int) -> dict[str, Any]:
    """Customers talk every 20 ms; a desk's phone waits for the first packet with a customer's payload."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        recorder = Recorder(RecordingSettings(directory=Path(folder) / "tapes", low_watermark_bytes=0), SystemClock())
        relay = MediaRelay(runtime_dir=Path(folder) / "run")
        await relay.start()
        phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        phone.bind(("127.0.0.1", 0))
        customer = RemoteMedia(host="127.0.0.1", port=9, codec="PCMA", payload_type=8)
        ports = []
        for at in range(calls):
            tape = recorder.arm(f"call_{at}")
            ports.append((await relay.open_leg(f"c{at}", kind="customer", tape=tape.path, bind_host="127.0.0.1")).port)
            await relay.open_leg(f"d{at}", kind="desk", tape=None, bind_host="127.0.0.1")
            await relay.set_remote(f"c{at}", customer)
            if at > 0:
                await relay.patch(f"c{at}", f"d{at}")
        await relay.set_remote(
            "d0", RemoteMedia(host="127.0.0.1", port=phone.getsockname()[1], codec="PCMA", payload_type=8)
        )
        load = await Load.start(tries * 0.16 + 3, ports)
        async for event in relay.events():
            if isinstance(event, MediaFirstAudio) and event.leg == "c0":
                break
        loop = asyncio.get_running_loop()
        silence = bytes([0xD5]) * 160
        taken = []
        for _ in range(tries):
            while True:
                try:
                    phone.recv(2048)
                except BlockingIOError:
                    break
            begin = time.monotonic()
            await relay.patch("c0", "d0")
            while (await loop.sock_recv(phone, 2048))[12:] == silence:
                pass
            taken.append((time.monotonic() - begin) * 1000)
            await relay.unpatch("d0")
            await asyncio.sleep(0.08 + 0.05 * random.random())
        await load.report()
        await relay.close()
        await load.release()
        phone.close()
    taken.sort()
    return {
        "calls": calls,
        "tries": tries,
        "patch_to_first_audio_ms": {
            "p50": round(statistics.median(taken), 2),
            "p99": round(taken[int(len(taken) * 0.99) - 1], 2),
            "worst": round(taken[-1], 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--latency", action="store_true")
    options = parser.parse_args()
    if options.floor:
        name, result = "relay_floor", asyncio.run(floor(options.calls or 300, options.seconds))
    elif options.latency:
        name, result = "relay_latency", asyncio.run(patch_latency(100, 200))
    elif options.calls:
        name, result = "relay_calls", asyncio.run(bridged(options.calls, options.seconds))
    else:
        name, result = "relay", asyncio.run(everything(options.seconds))
    command = " ".join(["python -m bench.relay", *sys.argv[1:]])
    text = f"{command}\n{describe_machine()}\n{json.dumps(result, indent=1)}\n"
    sys.stdout.write(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main()
