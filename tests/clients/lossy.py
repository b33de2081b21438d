"""A wire that loses messages, in front of any server: lossy.py SERVER [--seed N] [--lose SHARE] [--cut SHARE] [--only TEXT].

Of what clients send, a share is passed on and its answer lost (`--lose`: the server has done it, nobody hears of it), and a
share never arrives (`--cut`). Either way the connection ends. With `--only` this happens to what holds the text, and to
nothing else. Lines on standard input change the weather: `down SECONDS` (nobody is let through, who is there is cut off)
and `calm` (from now on nothing is lost).

Prints its address, then a line of JSON for each fault. Ends with its standard input.
"""

import argparse
import asyncio
import json
import random
import sys
import threading
import time

options = argparse.ArgumentParser()
options.add_argument("server")
options.add_argument("--seed", type=int, default=0)
options.add_argument("--lose", type=float, default=0.0)
options.add_argument("--cut", type=float, default=0.0)
options.add_argument("--only", default="")
chosen = options.parse_args()
host, port = chosen.server.rsplit(":", 1)
only = chosen.only.encode()
draw = random.Random(chosen.seed)
weather = {"calm": False, "down until": 0.0}


def injected(fault):
    print(json.dumps({"fault": fault}), flush=True)


def is_down():
    return time.monotonic() < weather["down until"]


class Connection:
    """One client and the server, until one of them ends it or a fault does."""

    def __init__(self):
        self.answer_lost = False

    async def requests(self, client, server):
        while data := await client.read(1 << 16):
            fault = None
            if is_down():
                return
            if not weather["calm"] and only in data:
                dice = draw.random()
                fault = "cut" if dice < chosen.cut else "lose" if dice < chosen.cut + chosen.lose else None
            if fault == "cut":
                return injected("request lost")
            self.answer_lost = self.answer_lost or fault == "lose"
            server.write(data)
            await server.drain()

    async def answers(self, server, client):
        while data := await server.read(1 << 16):
            if self.answer_lost:
                return injected("reply lost")
            if is_down():
                return
            client.write(data)
            await client.drain()


async def carry(client, to_client):
    try:
        if is_down():
            return
        server, to_server = await asyncio.open_connection(host, int(port))
        try:
            connection = Connection()
            ways = {asyncio.create_task(connection.requests(client, to_server)),
                    asyncio.create_task(connection.answers(server, to_client))}
            # The first that ends, or an outage that begins, ends both.
            while True:
                done, ways = await asyncio.wait(ways, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                if done or is_down():
                    break
            for way in ways:
                way.cancel()
            await asyncio.gather(*done, *ways, return_exceptions=True)
        finally:
            to_server.transport.abort()
    except OSError:
        pass
    finally:
        to_client.transport.abort()


def listen():
    """Obeys standard input."""
    for line in sys.stdin:
        match line.split():
            case ["down", seconds]:
                weather["down until"] = time.monotonic() + float(seconds)
                injected("outage")
            case ["calm"]:
                weather["calm"] = True
    loop.call_soon_threadsafe(loop.stop)


async def serve():
    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    return server


loop = asyncio.new_event_loop()
server = loop.run_until_complete(serve())
threading.Thread(target=listen, daemon=True).start()
loop.run_forever()
