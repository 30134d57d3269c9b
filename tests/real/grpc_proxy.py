#!/usr/bin/env python3
"""Unary, both streams, trailers and statuses of Python's grpcio through a proxy.

Usage: PROXY=target/release/examples/proxy tests/real/grpc_proxy.py
Needs grpcio. Starts a server, the proxy in front of it, and calls; ends with 1 if any answer differs from the direct one.
"""
import os, subprocess, sys, threading, time
from concurrent import futures
import grpc

raw = lambda b: b


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        def unary(request, context):
            context.set_trailing_metadata((("x-t", "1"), ("bin-bin", b"\xff\x00")))
            if request == b"fail":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nö: 100%")
            return request * 2

        def out(request, context):
            for i in range(100):
                yield request + str(i).encode()

        def into(requests, context):
            return str(sum(len(r) for r in requests)).encode()

        def both(requests, context):
            for r in requests:
                yield r[::-1]

        kinds = {
            "/t.T/Unary": grpc.unary_unary_rpc_method_handler(unary, raw, raw),
            "/t.T/Out": grpc.unary_stream_rpc_method_handler(out, raw, raw),
            "/t.T/In": grpc.stream_unary_rpc_method_handler(into, raw, raw),
            "/t.T/Both": grpc.stream_stream_rpc_method_handler(both, raw, raw),
        }
        return kinds.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(16), handlers=(Echo(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
import socket

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    front = s.getsockname()[1]
proxy = subprocess.Popen([os.environ.get("PROXY", "target/release/examples/proxy"), "--listen", f"127.0.0.1:{front}", "--to", f"127.0.0.1:{port}"])
time.sleep(0.5)


def calls(channel):
    seen = []
    unary = channel.unary_unary("/t.T/Unary", raw, raw)
    answer, call = unary.with_call(b"x" * 1000, metadata=(("x-q", "1"),))
    seen.append((answer, dict(call.trailing_metadata()).get("x-t"), dict(call.trailing_metadata()).get("bin-bin")))
    seen.append(len(unary(b"y" * 1_000_000)))
    for what in (b"fail",):
        try:
            unary(what)
        except grpc.RpcError as e:
            seen.append((e.code(), e.details()))
    try:
        channel.unary_unary("/t.T/Nothing", raw, raw)(b"")
    except grpc.RpcError as e:
        seen.append(e.code())
    seen.append(list(channel.unary_stream("/t.T/Out", raw, raw)(b"n")))
    seen.append(channel.stream_unary("/t.T/In", raw, raw)(iter([b"ab"] * 500)))
    # One answer is waited for before the next message is sent, so both directions must flow at once.
    turn, got = threading.Semaphore(1), []

    def messages():
        for i in range(50):
            turn.acquire()
            yield f"m{i}".encode()

    for r in channel.stream_stream("/t.T/Both", raw, raw)(messages()):
        got.append(r)
        turn.release()
    seen.append(got)
    stream = channel.unary_stream("/t.T/Out", raw, raw)(b"c")
    next(stream)
    stream.cancel()
    return seen


try:
    direct, through = (calls(grpc.insecure_channel(f"127.0.0.1:{p}")) for p in (port, front))
    for a, b in zip(direct, through):
        print("same" if a == b else f"DIFFERENT: {a!r} / {b!r}"[:300])
    sys.exit(0 if direct == through and len(direct) == 7 else 1)
finally:
    proxy.terminate()
    server.stop(0)
