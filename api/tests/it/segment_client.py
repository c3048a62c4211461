"""Segment's own client, through a go-between that passes the first request on, loses its answer and says 503."""

import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import segment.analytics as analytics

server, write_key, name, gzip = sys.argv[1:5]
answers = []


class GoBetween(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "content-length")}
        request = urllib.request.Request(server + self.path, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request) as answer:
            status, text = answer.status, answer.read()
        if not answers:
            status, text = 503, b"{}"
        answers.append(status)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


between = ThreadingHTTPServer(("127.0.0.1", 0), GoBetween)
threading.Thread(target=between.serve_forever, daemon=True).start()

failures = []
client = analytics.Client(
    write_key,
    host="http://127.0.0.1:%d" % between.server_port,
    gzip=gzip == "1",
    upload_interval=1,
    on_error=lambda error, _: failures.append(error),
)
user, device = name + "-user", name + "-device"
client.page(anonymous_id=device, name="Home")
client.identify(user, {"email": name + "@example.test", "plan": "pro"})
client.track(user, "Order Completed", {"order_id": name, "revenue": 49.9, "currency": "EUR"})
client.page(user, "Shop", "Shoes", {"path": "/shoes"})
client.screen(user, "App", "Start")
client.group(user, name + "-group", {"size": 3})
client.alias(device, user)
client.flush()
client.join()
if failures:
    sys.exit("the client gave up: %s" % failures)
print(*answers)
