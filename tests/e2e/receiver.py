# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server that channels send to."""

import http.server
import json
import ssl
import threading
import urllib.parse


class Message:
    def __init__(self, handler):
        size = int(handler.headers["Content-Length"])
        self.path = handler.path
        self.headers = handler.headers
        self.body = handler.rfile.read(size)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode("ascii"), strict_parsing=True))


class Receiver:
    """An HTTP server that keeps what it gets and answers what `answer(message)` says: (status, headers, body), or None
    for nothing at all until the server is closed."""

    def __init__(self, answer=None, tls=None, port=0):
        self.answer = answer or (lambda message: (204, {}, b""))
        self.messages = []
        self.closing = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                message = Message(self)
                outer.messages.append(message)
                answer = outer.answer(message)
                if answer is None:
                    outer.closing.wait()
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, address):
                pass  # who leaves in the middle

        self.server = Server(("127.0.0.1", port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path="/hook", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def keys(self):
        return [message.headers["Idempotency-Key"] for message in list(self.messages)]

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
