//! A node that listens over TCP on this machine, and a second installation that uses it from afar.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Cis, Output, Running};

/// Sends standard input over TLS without checking the certificate, and prints one answer: to the end of its body, or of
/// the connection if the answer names no length.
const EXCHANGE: &str = "\
import re, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as plain:
    with context.wrap_socket(plain) as stream:
        stream.sendall(sys.stdin.buffer.read())
        answer = b''
        while part := stream.recv(65536):
            answer += part
            head, end, body = answer.partition(b'\\r\\n\\r\\n')
            length = re.search(br'(?i)\\ncontent-length: *([0-9]+)', head)
            if end and length and len(body) >= int(length[1]):
                break
        sys.stdout.buffer.write(answer)
";

/// Both of them.
pub struct Remote {
    /// Where the node runs.
    pub node: Cis,
    /// Where none runs.
    pub away: Cis,
    pub url: String,
    pub fingerprint: String,
}

impl Remote {
    /// A node at a port of its own.
    pub fn start(more: &[&str]) -> Self {
        let (node, away) = (Cis::new(), Cis::new());
        let listen = ["-c", "api.listen=127.0.0.1:0"];
        node.ok(listen.iter().chain(more).chain(&["node", "start", "--detach"]));
        let remote = node.status()["remote"].clone();
        let text = |name: &str| remote[name].as_str().unwrap_or_else(|| panic!("{remote}")).to_owned();
        let (url, fingerprint) = (text("url"), text("fingerprint"));
        Self { node, away, url, fingerprint }
    }

    /// A new token in a file; gives the file's path and the token.
    #[track_caller]
    pub fn token(&self, role: &str, name: &str, more: &[&str]) -> (String, String) {
        let words = ["node", "token", "create", "--role", role, "--name", name];
        let token = self.node.ok(words.iter().chain(more)).trim().to_owned();
        let path = self.away.write(&format!("{name}.token"), &token);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (path.display().to_string(), token)
    }

    /// Arguments of a command from afar.
    pub fn words<'a>(&'a self, token_file: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        let head = ["--url", &self.url, "--fingerprint", &self.fingerprint, "--token-file", token_file];
        head.iter().chain(arguments).copied().collect()
    }

    /// Runs a command from afar to its end.
    #[track_caller]
    pub fn run(&self, token_file: &str, arguments: &[&str]) -> Output {
        self.away.run(self.words(token_file, arguments))
    }

    /// Starts one.
    #[track_caller]
    pub fn spawn(&self, token_file: &str, arguments: &[&str]) -> Running {
        self.away.spawn(self.words(token_file, arguments))
    }

    /// Who did what, as the node's database tells it: type, actor and body.
    pub fn audit(&self) -> Vec<(String, Value, Value)> {
        audit_of(&self.node)
    }

    /// `HOST` and `PORT`.
    pub fn address(&self) -> (&str, &str) {
        self.url.strip_prefix("https://").unwrap().rsplit_once(':').unwrap()
    }

    /// Sends a request with these lines over TLS; gives the head of the answer in small letters, and its body.
    #[track_caller]
    pub fn exchange(&self, line: &str, headers: &[&str]) -> (String, String) {
        self.exchange_body(line, headers, b"")
    }

    /// The same with a body, whose headers are among `headers`.
    #[track_caller]
    pub fn exchange_body(&self, line: &str, headers: &[&str], body: &[u8]) -> (String, String) {
        let (host, port) = self.address();
        let mut child = Command::new("python3")
            .args(["-c", EXCHANGE, host, port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut request = format!("{line} HTTP/1.1\r\nconnection: close\r\n");
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        request.push_str("\r\n");
        child.stdin.take().unwrap().write_all(&[request.as_bytes(), body].concat()).unwrap();
        let answer = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: `{answer}`"));
        (head.to_lowercase(), body.to_owned())
    }
}

/// Who did what, as a node's database tells it: type, actor and body.
pub fn audit_of(cis: &Cis) -> Vec<(String, Value, Value)> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(cis.home().join("cis.db"), flags).unwrap();
    let mut found = database.prepare("select type, actor, body from audit order by offset").unwrap();
    let json = |text: String| serde_json::from_str(&text).unwrap();
    let rows = found.query_map([], |row| Ok((row.get(0)?, json(row.get(1)?), json(row.get(2)?))));
    rows.unwrap().map(Result::unwrap).collect()
}
