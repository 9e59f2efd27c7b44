//! HTTP requests from inside a session to its node.

/// A Python program for sessions. It sends each request of its standard input (a line of `METHOD PATH`) to the node's socket,
/// with its arguments as headers and `{}` as the body, and prints the line followed by the answer's status.
pub const SESSION_HTTP: &str = r#"
import os, socket, sys

for line in sys.stdin:
    head = [line.strip() + " HTTP/1.1", "host: localhost", "connection: close"]
    head += ["content-type: application/json", "content-length: 2", *sys.argv[1:]]
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.environ["CIS_SOCKET"])
        stream.sendall("\r\n".join([*head, "", "{}"]).encode())
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    print(line.strip(), answer.split(b" ", 2)[1].decode())
"#;
