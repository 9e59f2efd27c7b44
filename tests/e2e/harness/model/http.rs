//! As much of HTTP/1.1 as clients of models use.

use std::io::{self, BufRead, Write as _};
use std::net::TcpStream;

use serde_json::Value;

/// A longer body is none of an agent.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A request, its body whole.
#[derive(Debug)]
pub struct Request {
    pub path: String,
    pub body: Vec<u8>,
}

/// One server-sent event: its name, where the dialect has names, and its data.
pub type SentEvent = (Option<&'static str>, String);

impl Request {
    /// The next one of a connection; none: it was closed.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let path = line.split_whitespace().nth(1).unwrap_or("/");
        let path = path.split('?').next().unwrap_or(path).to_owned();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "transfer-encoding" => chunked = value.to_ascii_lowercase().contains("chunked"),
                _ => {}
            }
        }
        let body = if chunked { chunks(from)? } else { exactly(from, length)? };
        Ok(Some(Self { path, body }))
    }
}

fn exactly(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        from.read_line(&mut size)?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
        body.extend(exactly(from, size)?);
        from.read_line(&mut String::new())?;
        if size == 0 || body.len() > BODY_BYTES_MAX {
            return Ok(body);
        }
    }
}

/// A JSON document; the connection stays.
pub fn respond(mut to: &TcpStream, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    to.write_all(head.as_bytes())?;
    to.write_all(body.as_bytes())
}

/// Events, one after the other; then the connection closes.
pub fn respond_stream(mut to: &TcpStream, events: &[SentEvent]) -> io::Result<()> {
    to.write_all(b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    for (name, data) in events {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        to.write_all(format!("{name}data: {data}\n\n").as_bytes())?;
    }
    to.shutdown(std::net::Shutdown::Write)
}
