"""An API server whose clock is not right: the real one, with the Date of every answer moved by as many seconds as a file
says. Usage: other_clock.py FOLDER_OF_THE_CLUSTER API_PORT FILE; prints the port that it listens on."""

import email.utils
import http.client
import http.server
import ssl
import sys
from pathlib import Path

folder, api_port, moved_by = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
upstream = ssl.create_default_context(cafile=folder / "ca.pem")
upstream.load_cert_chain(folder / "admin.pem", folder / "admin.key")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = ("content-type", "accept", "user-agent")
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        connection = http.client.HTTPSConnection("127.0.0.1", api_port, context=upstream)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        date = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        self.send_response_only(answer.status)
        self.send_header("Date", email.utils.formatdate(date + float(moved_by.read_text()), usegmt=True))
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem", folder / "server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
