//! A WebSocket to a node, as far as a test needs one: made of the standard library alone, so that nothing of the
//! program's own client stands between.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
    /// Code and reason, where there are any.
    Close(Option<(u16, String)>),
}

/// One connection. What is not read of it waits in the kernel, and then in the node.
pub struct WebSocket(BufReader<UnixStream>);

impl WebSocket {
    /// Asks for `path` at this socket, and for the upgrade.
    pub fn open(socket: &Path, path: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut stream = BufReader::new(stream);
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                break;
            }
            head.push_str(&line);
        }
        if head.starts_with("HTTP/1.1 101 ") { Ok(Self(stream)) } else { Err(io::Error::other(head)) }
    }

    /// The next frame; none where the connection ended without a word.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let mut head = [0; 2];
            match self.0.read_exact(&mut head) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            let length = match head[1] & 0x7f {
                126 => {
                    let mut more = [0; 2];
                    self.0.read_exact(&mut more)?;
                    u64::from(u16::from_be_bytes(more))
                }
                127 => {
                    let mut more = [0; 8];
                    self.0.read_exact(&mut more)?;
                    u64::from_be_bytes(more)
                }
                short => u64::from(short),
            };
            let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.0.read_exact(&mut body)?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(io::Error::other);
            match head[0] & 0x0f {
                1 => return text(&body).map(|text| Some(Frame::Text(text))),
                2 => return Ok(Some(Frame::Binary(body))),
                8 => {
                    let said = match body.split_first_chunk::<2>() {
                        Some((code, reason)) => Some((u16::from_be_bytes(*code), text(reason)?)),
                        None => None,
                    };
                    return Ok(Some(Frame::Close(said)));
                }
                _ => {}
            }
        }
    }
}

impl WebSocket {
    /// Sends these bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Whether the node ends the connection; everything before the end is skipped.
    pub fn is_ended(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(Some(Frame::Close(_)) | None) => return true,
                Ok(Some(_)) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// Offsets of the events in a frame, in order. The bodies are not looked at.
pub fn offsets(frame: &str) -> Vec<u64> {
    // So begins an event, and nothing in the body of one.
    frame
        .split("{\"offset\":")
        .skip(1)
        .filter_map(|rest| rest.split_once(",\"id\":")?.0.parse().ok())
        .collect()
}
