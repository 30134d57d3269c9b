#!/usr/bin/env python3
"""Chromium, headless, loads a page of a local server through the proxy: as a forward proxy, and with its TLS opened.

Usage: PROXY=target/release/examples/proxy tests/real/proxy_chromium.py
Needs chromium, certutil (Debian: chromium libnss3-tools) and openssl. The page has a picture, a style and a script that
asks for more; the page's text in the end shows that all of it came.
"""
import http.server, os, re, shutil, ssl, subprocess, sys, tempfile, threading
from proxylib import PROXY, Count, need, port, wait

need("chromium", "certutil", "openssl")
tmp = tempfile.mkdtemp(prefix="proxychromium-")
PAGE = b"""<!doctype html><title>t</title><link rel=stylesheet href=/style.css><img id=i src=/pixel.svg><p id=p>no</p>
<script>window.onload = async () => {
 const answers = await Promise.all([1,2,3,4,5,6,7,8].map(n => fetch('/data?' + n, {method: 'POST', body: 'x'.repeat(10000 * n)}).then(r => r.text())));
 document.getElementById('p').textContent = 'all ' + answers.join(' ') + ' ' + document.getElementById('i').naturalWidth
  + ' ' + getComputedStyle(document.body).marginTop;
};</script>"""
seen = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        seen.append((self.path, self.headers.get("Via")))
        if self.path == "/style.css":
            self.answer("text/css", b"body { margin-top: 7px }")
        elif self.path == "/pixel.svg":
            self.answer("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" width="11" height="3"/>')
        else:
            self.answer("text/html", PAGE)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((self.path, self.headers.get("Via")))
        self.answer("text/plain", str(len(body)).encode())

    def log_message(self, *_):
        pass


def sh(*command):
    return subprocess.run(command, capture_output=True, timeout=120)


sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test ca", "-keyout", f"{tmp}/ca.key", "-out", f"{tmp}/ca.crt")
sh("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", f"{tmp}/s.key", "-out", f"{tmp}/s.csr")
with open(f"{tmp}/s.ext", "w") as f:
    f.write("subjectAltName=DNS:localhost\n")
sh("openssl", "x509", "-req", "-in", f"{tmp}/s.csr", "-CA", f"{tmp}/ca.crt", "-CAkey", f"{tmp}/ca.key", "-CAcreateserial",
   "-days", "2", "-extfile", f"{tmp}/s.ext", "-out", f"{tmp}/s.crt")
plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
secure = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{tmp}/s.crt", f"{tmp}/s.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
for server in (plain, secure):
    threading.Thread(target=server.serve_forever, daemon=True).start()
forward, intercept = port(), port()
with open(f"{tmp}/proxy.yaml", "w") as f:
    f.write(f"""
listeners:
- {{name: forward, address: '127.0.0.1:{forward}', mode: forward}}
- {{name: intercept, address: '127.0.0.1:{intercept}', mode: intercept, intercept: {{ca: {{certificate: {tmp}/own.crt, key: {tmp}/own.key}}, upstreamCa: {tmp}/ca.crt}}}}
""")
process = subprocess.Popen([PROXY, "--config", f"{tmp}/proxy.yaml"], stderr=subprocess.PIPE)
count = Count()


def load(name, proxy, url):
    home = f"{tmp}/home"
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(f"{home}/.pki/nssdb")
    sh("certutil", "-N", "--empty-password", "-d", f"sql:{home}/.pki/nssdb")
    sh("certutil", "-A", "-d", f"sql:{home}/.pki/nssdb", "-n", "proxy", "-t", "C,,", "-i", f"{tmp}/own.crt")
    seen.clear()
    # Chromium does not send what is on this machine to a proxy unless it is told to.
    out = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}/data",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--proxy-server=http://127.0.0.1:{proxy}", "--proxy-bypass-list=<-loopback>",
         "--virtual-time-budget=20000", "--timeout=30000", "--dump-dom", url],
        capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": home})
    text = re.search(r'<p id="p">(.*?)</p>', out.stdout)
    want = "all 10000 20000 30000 40000 50000 60000 70000 80000 11 7px"
    count.check(f"{name}: the page", text and text.group(1) == want, f"{out.stdout[-300:]} {out.stderr[-1500:]}")
    mine = [(p, v) for p, v in seen if p != "/favicon.ico"]
    count.check(f"{name}: eleven requests", len(mine) == 11, str(mine))
    count.check(f"{name}: all by the proxy", mine and all(v and "qd-" in v for _, v in mine), str(mine))


try:
    try:
        wait(forward)
    except SystemExit:
        process.terminate()
        sys.exit(process.stderr.read().decode())
    load("forward", forward, f"http://127.0.0.1:{plain.server_port}/")
    load("TLS opened", intercept, f"https://localhost:{secure.server_port}/")
finally:
    process.terminate()
    process.wait()
count.end("Chromium " + sh("chromium", "--version").stdout.decode().split()[1])
