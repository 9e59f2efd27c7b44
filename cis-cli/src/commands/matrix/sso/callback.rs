//! Where the browser comes back to: a listener on 127.0.0.1 that knows two addresses, both unguessable.
//!
//! One sends a browser on to the homeserver, once: whoever opens a browser gets this one, as its arguments are seen
//! by others. The other takes the login token, once. Everything else is answered with nothing.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A browser sends its request at once.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A browser needs few connections at once.
const CONNECTIONS_MAX: usize = 16;

/// A longer token is none.
const TOKEN_BYTES_MAX: usize = 4096;

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>CIS</title>\
    <p>The login goes on in the terminal. You can close this window.</p></html>\n";

/// The listener.
pub(super) struct Callback {
    listener: TcpListener,
    place: Place,
    /// Where the way out leads to; none: it was taken.
    onward: Option<String>,
}

/// What its addresses are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    host: String,
    back: String,
    out: String,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The way out.
    Out,
    /// The token has come.
    Token(String),
    /// The address is right, and no token is in it.
    NoToken,
    /// Nothing that is here.
    Nothing,
    /// No request of a browser to us.
    Bad,
}

impl Callback {
    pub(super) async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = format!("127.0.0.1:{}", listener.local_addr()?.port());
        let place = Place { host, back: unguessable()?, out: unguessable()? };
        Ok(Self { listener, place, onward: None })
    }

    /// What its addresses are, for whoever brings them by hand.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// An address of ours that leads to `onward`, once.
    pub(super) fn leading_to(&mut self, onward: &str) -> String {
        self.onward = Some(onward.to_owned());
        format!("http://{}{}", self.place.host, self.place.out)
    }

    /// Waits for the browser; gives the token.
    pub(super) async fn token(mut self) -> io::Result<String> {
        let mut readers = JoinSet::new();
        loop {
            let (stream, asked) = tokio::select! {
                accepted = self.listener.accept(), if readers.len() < CONNECTIONS_MAX => {
                    // One that went away again, or is too much for the moment.
                    if let Ok((stream, _)) = accepted {
                        readers.spawn(timeout(REQUEST_TIME_MAX, request(stream, self.place.clone())));
                    }
                    continue;
                }
                Some(read) = readers.join_next() => match read {
                    Ok(Ok(Ok(read))) => read,
                    _ => continue,
                },
            };
            let answer = match &asked {
                Asked::Out => match self.onward.take() {
                    Some(onward) => onwards(&onward),
                    None => plain("404 Not Found", "This address was opened already.\n"),
                },
                Asked::Token(_) => page(),
                Asked::NoToken => plain("400 Bad Request", "There is no login token in this address.\n"),
                Asked::Nothing => plain("404 Not Found", ""),
                Asked::Bad => plain("400 Bad Request", ""),
            };
            // What the browser does not read changes nothing.
            let _ = timeout(REQUEST_TIME_MAX, reply(stream, answer)).await;
            if let Asked::Token(token) = asked {
                return Ok(token);
            }
        }
    }
}

impl Place {
    /// Where the homeserver is to send the browser.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{}", self.host, self.back)
    }

    /// The token in an address that a browser has ended at.
    pub(super) fn token_of(&self, address: &str) -> Option<String> {
        let rest = address.trim().strip_prefix("http://")?.strip_prefix(&self.host)?;
        match self.asked(rest) {
            Asked::Token(token) => Some(token),
            _ => None,
        }
    }

    /// What a path with its query asks for.
    fn asked(&self, target: &str) -> Asked {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == self.out {
            return Asked::Out;
        }
        if path != self.back {
            return Asked::Nothing;
        }
        let query = query.split('#').next().unwrap_or_default();
        let token = query.split('&').find_map(|pair| pair.strip_prefix("loginToken="));
        match token.and_then(decoded).filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES_MAX) {
            Some(token) => Asked::Token(token),
            None => Asked::NoToken,
        }
    }

    /// What the head of a request asks for.
    fn read(&self, head: &str) -> Asked {
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next(), words.next().unwrap_or_default());
        let mut hosts = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map(|(_, value)| value.trim());
        // A page of somebody else that reaches us by a name of theirs is not meant.
        if method != Some("GET") || hosts.next() != Some(self.host.as_str()) || hosts.next().is_some() {
            return Asked::Bad;
        }
        self.asked(target)
    }
}

async fn request(mut stream: TcpStream, place: Place) -> io::Result<(TcpStream, Asked)> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await?;
        if count == 0 || head.len() + count > REQUEST_BYTES_MAX {
            return Ok((stream, Asked::Bad));
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let asked = std::str::from_utf8(&head).map_or(Asked::Bad, |head| place.read(head));
    Ok((stream, asked))
}

async fn reply(mut stream: TcpStream, answer: String) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(status: &str, kind: &str, more: &str, body: &str) -> String {
    // The address has a secret in it: nobody is to keep it or pass it on.
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n{more}\r\n{body}",
        body.len()
    )
}

fn page() -> String {
    answer("200 OK", "text/html", "", PAGE)
}

fn plain(status: &str, body: &str) -> String {
    answer(status, "text/plain", "", body)
}

fn onwards(address: &str) -> String {
    // It is a URL, as our node has made it: with a line break it would be another header.
    let address: String = address.chars().filter(|c| !c.is_control()).collect();
    answer("302 Found", "text/plain", &format!("Location: {address}\r\n"), "")
}

fn unguessable() -> io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(format!("no random bytes: {error}")))?;
    Ok(format!("/{}", hex::encode(random)))
}

/// Percent-decoded (RFC 3986, section 2.1); none: damaged.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let (byte, after) = match first {
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, &after[2..])
            }
            plain => (*plain, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place {
        Place { host: "127.0.0.1:7".to_owned(), back: "/back".to_owned(), out: "/out".to_owned() }
    }

    fn get(target: &str, host: &str) -> Asked {
        place().read(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"))
    }

    #[test]
    fn only_the_right_address_at_the_right_host_gives_a_token() {
        let mine = "127.0.0.1:7";
        assert_eq!(get("/back?x=1&loginToken=a%2Bb", mine), Asked::Token("a+b".to_owned()));
        assert_eq!(get("/out", mine), Asked::Out);
        for none in ["/back", "/back?loginToken=", "/back?loginToken=%zz", "/back?loginToken=%2"] {
            assert_eq!(get(none, mine), Asked::NoToken, "{none}");
        }
        for nothing in ["/", "/favicon.ico", "/bac?loginToken=a", "/back/?loginToken=a", ""] {
            assert_eq!(get(nothing, mine), Asked::Nothing, "{nothing}");
        }
        for host in ["localhost:7", "evil.example:7", "127.0.0.1", "127.0.0.1:70"] {
            assert_eq!(get("/back?loginToken=a", host), Asked::Bad, "{host}");
        }
        let two = "GET /back?loginToken=a HTTP/1.1\r\nHost: 127.0.0.1:7\r\nHost: evil.example\r\n\r\n";
        assert_eq!(place().read(two), Asked::Bad);
        let post = "POST /back?loginToken=a HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n";
        assert_eq!(place().read(post), Asked::Bad);
    }

    #[test]
    fn an_address_that_is_brought_by_hand_is_read_alike() {
        let place = place();
        assert_eq!(place.token_of(" http://127.0.0.1:7/back?loginToken=a\n").as_deref(), Some("a"));
        for not in [
            "http://127.0.0.1:7/x?loginToken=a",
            "http://evil/back?loginToken=a",
            "a",
            "http://127.0.0.1:7/back",
        ] {
            assert_eq!(place.token_of(not), None, "{not}");
        }
        assert_eq!(place.redirect(), "http://127.0.0.1:7/back");
    }

    #[test]
    fn an_onward_address_is_one_header() {
        let text = onwards("http://x/\r\nSet-Cookie: a=b");
        assert!(!text.contains("\nSet-Cookie"), "{text}");
    }

    #[test]
    fn addresses_are_long_and_differ() {
        let (one, other) = (unguessable().unwrap(), unguessable().unwrap());
        assert!(one != other && one.len() == 65, "{one} {other}");
    }

    proptest! {
        #[test]
        fn any_request_is_answered(head in "(GET /back\\?loginToken=)?\\PC{0,80}(\r\nHost: 127.0.0.1:7)?") {
            place().read(&head);
        }
    }
}
