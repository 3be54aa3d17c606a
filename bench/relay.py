"""``python -m bench.relay``: bridged taped calls on one core without loss, CPU by rusage of the relay process.

``--floor``: the same work by a bare receive-append-forward loop. ``--calls``: how many at once. ``--latency``: from the
patch command to the first customer audio at the agent, at 100 calls.
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

from bench.machine import describe_machine
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.media.client import MediaFirstAudio, MediaRelay, RemoteMedia, TapeTrouble
from recording.recorder import Recorder

RESULTS = Path(__file__).parent / "results"


async def load(seconds: float, ports: list[int]) -> dict[str, float]:
    """Run the load process to its end."""
    process = await asyncio.create_subprocess_exec(
        *(("nice", "-n", "-10") if os.geteuid() == 0 else ()),  # stands for another machine
        sys.executable,
        "-m",
        "bench.rtp_load",
        str(seconds),
        *map(str, ports),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    result: dict[str, float] = json.loads(out)
    return result


async def bridged(calls: int, seconds: float) -> dict[str, object]:
    """``calls`` patched pairs, 50 packets a second each way for ``seconds``."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        recorder = Recorder(RecordingSettings(directory=Path(folder) / "tapes", low_watermark_bytes=0), SystemClock())
        relay = MediaRelay(runtime_dir=Path(folder) / "run")
        await relay.start()
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
        cpu, wall = relay.status["cpu_seconds"], relay.status["monotonic_ns"]
        result = await load(seconds, ports)
        cpu, end = relay.status["cpu_seconds"] - cpu, relay.status["monotonic_ns"]
        handled = sum([(await relay.counters(name)).received for at in range(calls) for name in (f"c{at}", f"d{at}")])
        counters, before = [], -1
        while True:  # on a busy machine packets still wait in the sockets: they are late, not lost
            counters = [await relay.counters(name) for at in range(calls) for name in (f"c{at}", f"d{at}")]
            if (now := sum(one.received for one in counters)) == before:
                break
            before = now
            await asyncio.sleep(0.5)
        wall = (end - wall) / 1e9
        dropped: dict[str, int] = {}
        for one in counters:
            for reason, number in one.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + number
        troubles = 0
        await relay.close()
        async for event in relay.events():
            troubles += isinstance(event, TapeTrouble)
        received = sum(one.received for one in counters)
        forwarded = sum(one.forwarded for one in counters)
        return {
            "calls": calls,
            "seconds": seconds,
            "sent": result["sent"],
            "received": received,
            "forwarded": forwarded,
            "came_back": result["got"],
            "lost": int(result["sent"]) - forwarded,
            "dropped": dropped,
            "load_late_ms": result["late_ms"],
            "tape_troubles": troubles,
            "relay_cpu_share": round(cpu / seconds, 3),
            "calls_per_core": round(handled / cpu / 100),  # a call is 100 packets a second
            "us_per_packet": round(cpu / handled * 1e6, 2),
            "wall_seconds": round(wall, 1),
        }


def floor_loop(pairs: int, folder: str, pipe: Connection) -> None:
    """Receive, append the packet to a file, send it on: nothing checked, nothing rewritten."""
    poll = select.epoll()
    work = {}
    socks = []
    for at in range(pairs):
        file = os.open(f"{folder}/{at}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        two = []
        for _ in range(2):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind(("127.0.0.1", 0))
            poll.register(sock, select.EPOLLIN)
            two.append(sock)
        socks += two
        for one, other in (two, two[::-1]):
            work[one.fileno()] = (one.recv_into, other.sendto, file)
    pipe.send([sock.getsockname()[1] for sock in socks])
    target = pipe.recv()
    buffer = bytearray(2048)
    view = memoryview(buffer)
    begin = time.process_time()
    packets = 0
    write = os.write
    while not pipe.poll():
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            for descriptor, _ in poll.poll(0.1, 512):
                receive, send, file = work[descriptor]
                size = receive(view)
                write(file, view[:size])
                send(view[:size], target)
                packets += 1
    pipe.send((time.process_time() - begin, packets))


async def floor(calls: int, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        here, there = Pipe()
        process = Process(target=floor_loop, args=(calls, folder, there))
        process.start()
        ports = here.recv()
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind(("127.0.0.1", 0))
        here.send(sink.getsockname())
        result = await load(seconds, ports)
        here.send("stop")
        cpu, packets = here.recv()
        process.join()
        sink.close()
    return {
        "calls": calls,
        "sent": result["sent"],
        "received": packets,
        "cpu_share": round(cpu / seconds, 3),
        "calls_per_core": round(packets / cpu / 100),
        "us_per_packet": round(cpu / packets * 1e6, 2),
    }


async def patch_latency(calls: int, tries: int) -> dict[str, object]:
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
        loading = asyncio.create_task(load(tries * 0.16 + 3, ports))
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
        await loading
        await relay.close()
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
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--latency", action="store_true")
    options = parser.parse_args()
    if options.floor:
        name, result = "relay_floor", asyncio.run(floor(options.calls, options.seconds))
    elif options.latency:
        name, result = "relay_latency", asyncio.run(patch_latency(100, 200))
    else:
        name, result = "relay", asyncio.run(bridged(options.calls, options.seconds))
    text = f"python -m bench.relay {' '.join(sys.argv[1:])}\n{describe_machine()}\n{json.dumps(result, indent=1)}\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main()
