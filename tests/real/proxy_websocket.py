#!/usr/bin/env python3
"""WebSocket frames, right and wrong ones, through the proxy and past it: what comes back must be the same bytes.

Usage: PROXY=target/release/examples/proxy tests/real/proxy_websocket.py
Needs the Python package autobahn, whose server echoes. The Autobahn TestSuite itself is a program of Python 2 and does not
run on a Python of today; the cases here go by its sections (1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragments,
6 UTF-8, 7 closing, 9 sizes), and the client is a socket, so that wrong frames can be said. A proxy passes WebSocket as it
comes, so every case must end as it does without one, closing code and end of the connection included.
"""
import base64, os, random, socket, struct, subprocess, sys, threading
import proxylib
from proxylib import Count, port, proxy, skip, wait

try:
    import autobahn
except ImportError:
    skip("the Python package autobahn is not installed")

SERVER = """
import asyncio, sys
from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, is_binary):
        self.sendMessage(payload, is_binary)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
factory = WebSocketServerFactory("ws://127.0.0.1:%d" % int(sys.argv[1]))
factory.protocol = Echo
factory.setProtocolOptions(maxMessagePayloadSize=64 << 20, failByDrop=False, echoCloseCodeReason=True)
loop.run_until_complete(loop.create_server(factory, "127.0.0.1", int(sys.argv[1])))
loop.run_forever()
"""


def frame(op, data=b"", fin=1, rsv=0, mask=b"\x01\x02\x03\x04"):
    first = fin << 7 | rsv << 4 | op
    n = len(data)
    head = struct.pack("!BB", first, 0x80 | n) if n < 126 else (
        struct.pack("!BBH", first, 0x80 | 126, n) if n < 65536 else struct.pack("!BBQ", first, 0x80 | 127, n))
    key = (mask * (n // 4 + 1))[:n]
    return head + mask + (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big")


CLOSE = frame(8, struct.pack("!H", 1000))
cases = []


def case(name, *pieces):
    cases.append((name, list(pieces)))


for n in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537):
    case(f"1 text {n}", frame(1, b"*" * n), CLOSE)
    case(f"1 binary {n}", frame(2, b"\xfe" * n), CLOSE)
    whole = frame(1, b"*" * n) + CLOSE
    size = max(1, len(whole) // 997)
    case(f"1 text {n} in pieces", *[whole[i:i + size] for i in range(0, len(whole), size)])
for n in (0, 5, 125, 126):
    case(f"2 ping {n}", frame(9, b"p" * n), CLOSE)
    case(f"2 pong {n}", frame(10, b"p" * n), frame(9, b"x"), CLOSE)
case("2 ten pings", *[frame(9, b"%d" % i) for i in range(10)], CLOSE)
for rsv in range(1, 8):
    for op in (1, 2, 9, 8):
        case(f"3 rsv {rsv} op {op}", frame(1, b"before"), frame(op, b"\x03\xe8" if op == 8 else b"x", rsv=rsv), frame(9, b"after"))
for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    for data in (b"", b"hello"):
        case(f"4 opcode {op} {len(data)}", frame(1, b"before"), frame(op, data), frame(9, b"after"))
for kind in (1, 2):
    case(f"5 two fragments {kind}", frame(kind, b"frag1", fin=0), frame(0, b"frag2"), CLOSE)
    case(f"5 ping between {kind}", frame(kind, b"frag1", fin=0), frame(9, b"p"), frame(0, b"frag2"), CLOSE)
    case(f"5 text between {kind}", frame(kind, b"frag1", fin=0), frame(1, b"no"), frame(0, b"frag2"), CLOSE)
    case(f"5 many {kind}", frame(kind, b"a", fin=0), *[frame(0, b"b", fin=0) for _ in range(60)], frame(0, b"c"), CLOSE)
for op in (8, 9, 10):
    case(f"5 control in fragments {op}", frame(op, b"\x03\xe8", fin=0), frame(0, b"x"))
case("5 continuation of nothing", frame(0, b"x"), frame(1, b"hello"), CLOSE)
case("5 continuation of nothing, open", frame(0, b"x", fin=0), frame(1, b"hello"), CLOSE)
text = "κόσμε 𐍈 größe".encode()
for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce", b"\xf0\x80\x80\x80", b"\xbf"):
    case(f"6 wrong {bad.hex()}", frame(1, text + bad + b"x"), CLOSE)
    case(f"6 wrong {bad.hex()} in fragments", frame(1, text, fin=0), frame(0, bad, fin=0), frame(0, b"x"), CLOSE)
case("6 right", frame(1, text), CLOSE)
case("6 right, a byte a fragment", frame(1, text[:1], fin=0), *[frame(0, text[i:i + 1], fin=0) for i in range(1, len(text))], frame(0), CLOSE)
for i in range(1, len(text), 3):
    case(f"6 right, cut at {i}", frame(1, text[:i], fin=0), frame(0, text[i:]), CLOSE)
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
    case(f"7 close {code}", frame(8, struct.pack("!H", code) + b"bye"))
for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
    case(f"7 close {code} (not allowed)", frame(8, struct.pack("!H", code)))
case("7 close empty", frame(8))
case("7 close of one byte", frame(8, b"\x03"))
case("7 close too long", frame(8, struct.pack("!H", 1000) + b"x" * 124))
case("7 close not UTF-8", frame(8, struct.pack("!H", 1000) + b"\xff\xfe"))
case("7 text after close", CLOSE, frame(1, b"late"))
case("7 ping after close", CLOSE, frame(9, b"late"))
case("7 no mask", b"\x81\x05hello", CLOSE)
case("7 no close at all", frame(1, b"and gone"))
for n in (1 << 16, 1 << 18, 1 << 20, 4 << 20, 16 << 20):
    case(f"9 binary {n}", frame(2, os.urandom(n)), CLOSE)
for size in (64, 1024, 65536):
    data = os.urandom(1 << 20)
    parts = [data[i:i + size] for i in range(0, len(data), size)]
    pieces = [frame(2, parts[0], fin=0)] + [frame(0, p, fin=0) for p in parts[1:]] + [frame(0)]
    case(f"9 fragments of {size}", b"".join(pieces), CLOSE)
rng = random.Random(7)
for i in range(60):
    noise = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400)))
    case(f"noise {i}", frame(1, b"before"), noise)


def run(to, pieces, early):
    """What comes back for these pieces, and how the connection ends."""
    s = socket.create_connection(("127.0.0.1", to), 20)
    s.settimeout(20)
    key = base64.b64encode(b"0123456789abcdef").decode()
    ask = (f"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()
    s.sendall(ask)
    text = b""
    while b"\r\n\r\n" not in text:
        more = s.recv(4096)
        if not more:
            return "no switch", text
        text += more
    head, got = text.split(b"\r\n\r\n", 1)
    accept = [l for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-accept")]

    def send():
        try:
            for p in pieces:
                s.sendall(p)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    parts = [got]
    try:
        while more := s.recv(1 << 20):
            parts.append(more)
        ended = "end"
    except ConnectionResetError:
        ended = "reset"
    except socket.timeout:
        ended = "timeout"
    sender.join()
    s.close()
    return head.split(b"\r\n")[0], accept, b"".join(parts), ended


origin = port()
server = subprocess.Popen([sys.executable, "-c", SERVER, str(origin)], stderr=subprocess.DEVNULL)
wait(origin)
process, front = proxy("--to", f"127.0.0.1:{origin}")
count = Count()
try:
    for name, pieces in cases:
        direct, through = run(origin, pieces, 0), run(front, pieces, 0)
        # How a server that has closed already answers what still comes (end or reset) depends on who is faster.
        same = direct[:3] == through[:3] and "timeout" not in (direct[3], through[3])
        count.check(name, same, f"direct {direct[2][:40]!r} {direct[3]}, through {through[2][:40]!r} {through[3]}")
finally:
    process.terminate()
    server.terminate()
    process.wait()
    server.wait()
count.end(f"WebSocket against the echo server of autobahn {autobahn.__version__}")
