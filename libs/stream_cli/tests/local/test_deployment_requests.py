"""Deployments ask a local cloud over a connection that the cloud may have closed in the meantime."""

import socket
import threading

from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.plain_requests import PlainRequests


def test_a_connection_that_the_cloud_has_closed_is_made_anew():
    closed = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            for content in (b"1", b"2"):
                connection, _ = listening.accept()
                with connection:
                    while not connection.recv(65536).endswith(b"\r\n\r\n"):
                        continue
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + content)
                closed.release()

        serving = threading.Thread(target=serve)
        serving.start()
        cloud = PlainRequests(LocalEndpoint(listening.getsockname()[1]))
        try:
            assert cloud.get("bucket", "key") == b"1"
            assert closed.acquire(timeout=10)
            assert cloud.get("bucket", "key") == b"2"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
