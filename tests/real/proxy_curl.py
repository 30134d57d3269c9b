#!/usr/bin/env python3
"""curl through every mode of the proxy: reverse, forward, CONNECT, intercepting, TLS, HTTP/2, unix socket, PROXY header.

Usage: PROXY=target/release/examples/proxy tests/real/proxy_curl.py
Needs curl, openssl and nginx.
"""
import hashlib, os, subprocess, sys, tempfile
from proxylib import PROXY, Count, need, port, skip, wait

need("curl", "openssl", "nginx")
tmp = tempfile.mkdtemp(prefix="proxycurl-")
os.chmod(tmp, 0o755)


def sh(*command):
    return subprocess.run(command, capture_output=True, timeout=60)


def leaf(name, san):
    sh("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{tmp}/{name}.key", "-out", f"{tmp}/{name}.csr")
    with open(f"{tmp}/{name}.ext", "w") as f:
        f.write(f"subjectAltName={san}\n")
    sh("openssl", "x509", "-req", "-in", f"{tmp}/{name}.csr", "-CA", f"{tmp}/ca.crt", "-CAkey", f"{tmp}/ca.key", "-CAcreateserial",
       "-days", "2", "-extfile", f"{tmp}/{name}.ext", "-out", f"{tmp}/{name}.crt")


sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test ca", "-keyout", f"{tmp}/ca.key", "-out", f"{tmp}/ca.crt")
leaf("localhost", "DNS:localhost,IP:127.0.0.1")
leaf("other", "DNS:other.example")
plain, secure, bad = port(), port(), port()
paths = "".join(f"{k}_temp_path {tmp}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
with open(f"{tmp}/big", "wb") as f:
    f.write(os.urandom(3 << 20))
digest = hashlib.sha256(open(f"{tmp}/big", "rb").read()).hexdigest()
where = f"""root {tmp}; location = /s {{ default_type text/plain; return 200 "small"; }}
  location = /204 {{ return 204; }} location = /302 {{ return 302 /s; }}
  location = /echo {{ default_type text/plain; return 200 "$request_method $http_x_a $http_via $http_host $content_length"; }}
  location /up {{ dav_methods PUT; client_max_body_size 0; root {tmp}/put; }}"""
os.mkdir(f"{tmp}/put")
os.chmod(f"{tmp}/put", 0o777)
with open(f"{tmp}/c", "w") as f:
    f.write(f"""pid {tmp}/pid; error_log /dev/null; user root; worker_processes 1; daemon off; events {{ worker_connections 4096; }}
http {{ access_log off; gzip on; gzip_min_length 1; {paths}
 server {{ listen 127.0.0.1:{plain}; {where} }}
 server {{ listen 127.0.0.1:{secure} ssl http2; ssl_certificate {tmp}/localhost.crt; ssl_certificate_key {tmp}/localhost.key; {where} }}
 server {{ listen 127.0.0.1:{bad} ssl; ssl_certificate {tmp}/other.crt; ssl_certificate_key {tmp}/other.key; {where} }} }}""")
at = {name: port() for name in ("reverse", "h2", "tls", "forward", "intercept", "proxied", "totls")}
with open(f"{tmp}/proxy.yaml", "w") as f:
    f.write(f"""
listeners:
- {{name: reverse, address: '127.0.0.1:{at['reverse']}'}}
- {{name: unix, address: 'unix:{tmp}/sock'}}
- {{name: tls, address: '127.0.0.1:{at['tls']}', protocol: HTTPS, tls: {{certificates: [{{certificate: {tmp}/localhost.crt, key: {tmp}/localhost.key}}, {{certificate: {tmp}/other.crt, key: {tmp}/other.key}}]}}}}
- {{name: forward, address: '127.0.0.1:{at['forward']}', mode: forward}}
- {{name: intercept, address: '127.0.0.1:{at['intercept']}', mode: intercept, intercept: {{ca: {{certificate: {tmp}/own.crt, key: {tmp}/own.key}}, upstreamCa: {tmp}/ca.crt}}}}
- {{name: proxied, address: '127.0.0.1:{at['proxied']}', proxyProtocolFrom: ['127.0.0.0/8']}}
- {{name: totls, address: '127.0.0.1:{at['totls']}'}}
clusters:
- {{name: up, protocol: http1, endpoints: [{{address: '127.0.0.1:{plain}'}}]}}
- {{name: tlsup, protocol: http2, tls: {{ca: {tmp}/ca.crt, serverName: localhost}}, endpoints: [{{address: '127.0.0.1:{secure}'}}]}}
routes:
- {{kind: HTTPRoute, name: all, parentRefs: [{{name: reverse}}, {{name: unix}}, {{name: tls}}, {{name: proxied}}], rules: [{{backendRefs: [{{name: up}}]}}]}}
- {{kind: HTTPRoute, name: tls, parentRefs: [{{name: totls}}], rules: [{{backendRefs: [{{name: tlsup}}]}}]}}
""")
nginx = subprocess.Popen(["nginx", "-c", f"{tmp}/c"], stderr=subprocess.DEVNULL)
process = subprocess.Popen([PROXY, "--config", f"{tmp}/proxy.yaml"], stderr=subprocess.PIPE)
count = Count()


def curl(*args):
    out = sh("curl", "-s", "-S", "--max-time", "20", "-w", "\n%{http_code} %{http_version}", *args)
    body, _, last = out.stdout.rpartition(b"\n")
    return body, last.decode().split(), out.stderr.decode()


def fetch(name, *args, body=b"small", status="200", version=None):
    got, last, error = curl(*args)
    fine = (body is None or got == body) and last[0] == status and (version is None or last[1] == version)
    count.check(name, fine, f"{got[:200]!r} {last} {error}")
    return got


try:
    if process.poll() is None:
        try:
            wait(at["reverse"])
        except SystemExit:
            process.terminate()
            sys.exit(process.stderr.read().decode())
    wait(plain)
    wait(secure)
    u = lambda name, path="/s", scheme="http": f"{scheme}://127.0.0.1:{at[name]}{path}"
    tls = ["--cacert", f"{tmp}/ca.crt"]
    fetch("reverse", u("reverse"), version="1.1")
    fetch("reverse, HTTP/1.0", "-0", u("reverse"))
    fetch("reverse, HTTP/2 with prior knowledge", "--http2-prior-knowledge", u("reverse"), version="2")
    fetch("HEAD", "-I", u("reverse"), body=None)
    fetch("204", u("reverse", "/204"), body=b"", status="204")
    fetch("a redirect", "-L", u("reverse", "/302"))
    fetch("404", u("reverse", "/none"), body=None, status="404")
    fetch("compressed", "--compressed", u("reverse"))
    for name, flags in (("1.1", []), ("2", ["--http2-prior-knowledge"])):
        big = fetch(f"3 MiB, HTTP/{name}", *flags, u("reverse", "/big"), body=None)
        count.check(f"3 MiB, HTTP/{name}: the same bytes", hashlib.sha256(big).hexdigest() == digest)
        part = fetch(f"a range, HTTP/{name}", *flags, "-r", "100-199", u("reverse", "/big"), body=None, status="206")
        count.check(f"a range, HTTP/{name}: 100 bytes", len(part) == 100)
    fetch("a header", "-H", "X-A: b c", u("reverse", "/echo"), body=None)
    fetch("POST", "-d", "a=b", u("reverse", "/echo"), body=None)
    for name, flags in (("with a length", []), ("chunked", ["-H", "Transfer-Encoding: chunked"]), ("with Expect", ["-H", "Expect: 100-continue"]), ("HTTP/2", ["--http2-prior-knowledge"])):
        path = f"/up/{name.replace(' ', '-').replace('/', '')}"
        os.makedirs(f"{tmp}/put/up", exist_ok=True)
        os.chmod(f"{tmp}/put/up", 0o777)
        fetch(f"PUT {name}", *flags, "-T", f"{tmp}/big", u("reverse", path), body=None, status="201")
        put = f"{tmp}/put{path}"
        same = os.path.exists(put) and hashlib.sha256(open(put, "rb").read()).hexdigest() == digest
        count.check(f"PUT {name}: the same bytes", same)
    fetch("a unix socket", "--unix-socket", f"{tmp}/sock", "http://x/s")
    fetch("TLS, HTTP/2", *tls, u("tls", scheme="https"), version="2")
    fetch("TLS, HTTP/1.1", "--http1.1", *tls, u("tls", scheme="https"), version="1.1")
    fetch("TLS by another name", *tls, "--resolve", f"other.example:{at['tls']}:127.0.0.1", f"https://other.example:{at['tls']}/s")
    fetch("to an upstream of TLS and HTTP/2", u("totls"))
    fetch("a PROXY header", "--haproxy-protocol", u("proxied"))
    forward = ["-x", f"http://127.0.0.1:{at['forward']}"]
    fetch("forward, absolute target", *forward, f"http://127.0.0.1:{plain}/s")
    fetch("forward, CONNECT", *forward, "-p", f"http://127.0.0.1:{plain}/s")
    fetch("forward, CONNECT with TLS and HTTP/2", *forward, *tls, f"https://localhost:{secure}/s", version="2")
    through = ["-x", f"http://127.0.0.1:{at['intercept']}", "--cacert", f"{tmp}/own.crt"]
    fetch("intercepting, HTTP/2", *through, f"https://localhost:{secure}/s", version="2")
    fetch("intercepting, HTTP/1.1", "--http1.1", *through, f"https://localhost:{secure}/s", version="1.1")
    seen = fetch("intercepting, a header of the proxy", *through, f"https://localhost:{secure}/echo", body=None)
    count.check("intercepting: the request was read", b" qd-" in seen, seen)
    big = fetch("intercepting, 3 MiB", *through, f"https://localhost:{secure}/big", body=None)
    count.check("intercepting, 3 MiB: the same bytes", hashlib.sha256(big).hexdigest() == digest)
    got = fetch("intercepting, a certificate of another name", *through, f"https://localhost:{bad}/s", body=None, status="502")
    count.check("it says why", b"certificate" in got, got)
    got, last, error = curl(*through[:2], f"https://localhost:{secure}/s")
    count.check("without trust in its authority there is no connection", "certificate" in error, error)
finally:
    process.terminate()
    nginx.terminate()
    process.wait()
    nginx.wait()
count.end("curl " + sh("curl", "--version").stdout.decode().split()[1])
