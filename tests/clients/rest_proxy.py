"""An Iceberg REST catalog of other talents, in front of that of `sluice serve`: rest_proxy.py URI [--talent …]

`--no-transactions`: transactions over several tables are not offered, and refused.
`--vend SECONDS`: with each table come keys that open this table's folder only, said to end after so many seconds. They
come from MinIO's STS, which MINIO_ROOT_USER and MINIO_ROOT_PASSWORD ask for them.

Prints its address, then a line of JSON for each pair of keys that it handed out.
"""

import http.server
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

from minio.credentials import AssumeRoleProvider

behind = sys.argv[1].removesuffix("/iceberg")
transactions = "--no-transactions" not in sys.argv
vend = float(sys.argv[sys.argv.index("--vend") + 1]) if "--vend" in sys.argv else None
COMMIT = "/v1/transactions/commit"
printing = threading.Lock()


def keys(location, renews=False):
    """Keys that open this table's folder only, as the protocol hands them out."""
    bucket, _, folder = location.removeprefix("s3://").partition("/")
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
         "Resource": [f"arn:aws:s3:::{bucket}/{folder}/*"]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"],
         "Condition": {"StringLike": {"s3:prefix": [f"{folder}/*"]}}},
    ]
    asked = AssumeRoleProvider(
        sts_endpoint=os.environ["MINIO_ENDPOINT"],
        access_key=os.environ["MINIO_ROOT_USER"],
        secret_key=os.environ["MINIO_ROOT_PASSWORD"],
        duration_seconds=900,
        policy=json.dumps({"Version": "2012-10-17", "Statement": statements}),
        region="us-east-1",
    ).retrieve()
    with printing:
        print(json.dumps({"location": location, "id": asked.access_key, "renews": renews}), flush=True)
    return {"prefix": location, "config": {
        "s3.access-key-id": asked.access_key,
        "s3.secret-access-key": asked.secret_key,
        "s3.session-token": asked.session_token,
        "s3.session-token-expires-at-ms": str(int((time.time() + vend) * 1000)),
    }}


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith(COMMIT) and not transactions:
            return self.reply(406, {"error": {"message": "no such endpoint", "type": "Unsupported", "code": 406}})
        request = urllib.request.Request(behind + self.path, data=body or None, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        return self.reply(status, self.changed(json.loads(content)) if content else None)

    def changed(self, answer):
        if "endpoints" in answer and not transactions:
            answer["endpoints"] = [it for it in answer["endpoints"] if not it.endswith("transactions/commit")]
        asked = self.headers.get("X-Iceberg-Access-Delegation") == "vended-credentials"
        if vend is not None and asked and "metadata-location" in answer and "metadata" in answer:
            if "location" in answer["metadata"] and "config" in answer:
                answer["storage-credentials"] = [keys(answer["metadata"]["location"])]
        if vend is not None and "storage-credentials" in answer and self.path.endswith("/credentials"):
            table = behind + self.path.removesuffix("/credentials")
            with urllib.request.urlopen(table, timeout=60) as loaded:
                answer["storage-credentials"] = [keys(json.load(loaded)["metadata"]["location"], renews=True)]
        return answer

    def reply(self, status, answer):
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_HEAD = handle_one

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print(f"http://127.0.0.1:{server.server_address[1]}/iceberg", flush=True)
server.serve_forever()
