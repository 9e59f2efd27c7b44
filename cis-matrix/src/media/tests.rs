//! Downloads from, and uploads to, a homeserver that answers what a test tells it to.

use std::io::{Cursor, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use matrix_sdk_crypto::AttachmentEncryptor;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::*;
use crate::{Secret, Session};

/// Larger than all buffers between two sockets, and than any allowed file.
const FLOOD: usize = 64 << 20;

/// A homeserver of one media file.
struct Homeserver {
    address: String,
    /// The head of each request for media, and how many bytes of the answer were sent, or of an uploaded file are 7.
    asked: UnboundedReceiver<(String, usize)>,
}

/// The answer to a request for media.
#[derive(Clone)]
struct Reply {
    /// Status line and headers, without the empty line.
    head: String,
    body: Vec<u8>,
    /// Sends the body in chunks of HTTP.
    is_chunked: bool,
}

impl Reply {
    fn new(head: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { head: format!("HTTP/1.1 {head}"), body: body.into(), is_chunked: false }
    }

    fn chunked(body: impl Into<Vec<u8>>) -> Self {
        Self { is_chunked: true, ..Self::new("200 OK\r\nTransfer-Encoding: chunked", body) }
    }

    /// Sends the answer for as long as the client reads it. Returns how many bytes of the body were sent.
    fn send(&self, stream: &mut TcpStream) -> usize {
        let mut sent = 0;
        let mut send = || -> std::io::Result<()> {
            write!(stream, "{}\r\nConnection: close\r\n\r\n", self.head)?;
            for part in self.body.chunks(32 << 10) {
                if self.is_chunked {
                    write!(stream, "{:x}\r\n", part.len())?;
                    stream.write_all(part)?;
                    stream.write_all(b"\r\n")?;
                } else {
                    stream.write_all(part)?;
                }
                sent += part.len();
            }
            if self.is_chunked { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
        };
        match send() {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{error}")
            }
            _ => sent,
        }
    }
}

impl Homeserver {
    fn new(version: &'static str, reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer_one(stream.unwrap(), version, &reply, &tell);
            }
        });
        Self { address, asked }
    }

    /// Downloads its file with an account that it knows.
    async fn download(&self, media: Media, bytes_max: u64) -> Result<Vec<u8>, MatrixError> {
        let store = TempDir::new().unwrap();
        self.client(&store).await.download(media, bytes_max).await
    }

    /// Uploads something with the same account.
    async fn upload(&self, content: impl Into<Content>) -> Result<String, MatrixError> {
        let store = TempDir::new().unwrap();
        let client = self.client(&store).await;
        upload::upload(&client.sdk, content.into()).await.map(|uri| uri.to_string())
    }

    async fn client(&self, store: &TempDir) -> Client {
        let session = Session {
            homeserver: self.address.clone(),
            user: "@cis:cis.test".to_owned(),
            device: "ABC".to_owned(),
            token: Secret::new("the_token"),
        };
        Client::restore(store.path().to_owned(), session).await.unwrap()
    }
}

fn answer_one(mut stream: TcpStream, version: &str, reply: &Reply, tell: &UnboundedSender<(String, usize)>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    if head.starts_with("get /_matrix/client/versions") {
        let versions = json!({ "versions": [version] }).to_string();
        Reply::new(&format!("200 OK\r\nContent-Length: {}", versions.len()), versions).send(&mut stream);
    } else if head.contains(" /_matrix/client/v3/") {
        // Of its own accord, the library asks for keys at some time.
        Reply::new("404 Not Found", []).send(&mut stream);
    } else if head.starts_with("get ") {
        let sent = reply.send(&mut stream);
        // The test may be over.
        let _ = tell.send((head, sent));
    } else if head.starts_with("post /") {
        let size = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; size.map_or(0, |size| size.parse().unwrap())];
        stream.read_exact(&mut body).unwrap();
        reply.send(&mut stream);
        let _ = tell.send((head, body.iter().filter(|byte| **byte == 7).count()));
    }
}

fn plain() -> Media {
    Media::Plain("mxc://cis.test/abc".to_owned())
}

fn encrypted(bytes: &[u8]) -> (Media, Vec<u8>) {
    let (mut cursor, mut sent) = (Cursor::new(bytes), Vec::new());
    let mut encryptor = AttachmentEncryptor::new(&mut cursor);
    encryptor.read_to_end(&mut sent).unwrap();
    let mut file = serde_json::to_value(encryptor.finish()).unwrap();
    file["url"] = json!("mxc://cis.test/abc");
    (Media::Encrypted(file), sent)
}

#[tokio::test]
async fn an_endless_download_is_refused() {
    let endless = [
        Reply::chunked(vec![7; FLOOD]),
        // The body ends with the connection.
        Reply::new("200 OK", vec![7; FLOOD]),
        Reply::new(&format!("200 OK\r\nContent-Length: {FLOOD}"), vec![7; FLOOD]),
        Reply::new(&format!("200 OK\r\nContent-Length: {}", i64::MAX), vec![7; FLOOD]),
    ];
    for reply in endless {
        let mut homeserver = Homeserver::new("v1.11", reply.clone());
        let got = homeserver.download(plain(), 1000).await.map(|bytes| bytes.len());
        assert_eq!(got, Err(MatrixError::FileTooLarge { bytes_max: 1000 }), "{}", reply.head);
        let (_, sent) = homeserver.asked.recv().await.unwrap();
        assert!(sent < FLOOD / 2, "{sent} bytes were taken of {}", reply.head);
    }
}

#[tokio::test]
async fn one_byte_too_many_is_refused() {
    for (reply, size) in [
        (Reply::chunked(vec![7; 100_000]), 100_000),
        (Reply::new("200 OK", vec![7; 100_000]), 100_000),
        (Reply::new("200 OK\r\nContent-Length: 100000", vec![7; 100_000]), 100_000),
        (Reply::chunked([]), 0),
        // Only the announced bytes belong to the body.
        (Reply::new("200 OK\r\nContent-Length: 1000", vec![7; FLOOD]), 1000),
    ] {
        let homeserver = Homeserver::new("v1.11", reply.clone());
        let got = homeserver.download(plain(), size).await.map(|bytes| bytes.len() as u64);
        assert_eq!(got, Ok(size), "{}", reply.head);
        if let Some(less) = size.checked_sub(1) {
            let got = homeserver.download(plain(), less).await;
            assert_eq!(got, Err(MatrixError::FileTooLarge { bytes_max: less }), "{}", reply.head);
        }
    }
}

#[tokio::test]
async fn a_file_comes_in_chunks_that_are_not_small() {
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (encrypted, sent) = encrypted(&body);
    for (media, sent) in [(plain(), body.clone()), (encrypted, sent)] {
        let homeserver = Homeserver::new("v1.11", Reply::chunked(sent));
        let (store, (to, mut came)) = (TempDir::new().unwrap(), mpsc::unbounded_channel());
        let client = homeserver.client(&store).await;
        let take = move |chunk| to.send(chunk).unwrap();
        client.download_in_chunks(media.clone(), 1_000_000, take).await.unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = came.recv().await {
            all.extend_from_slice(&chunk);
            assert!(chunk.len() >= 64 << 10 || came.is_empty(), "{} bytes", chunk.len());
        }
        assert!(all == body);
        let got = client.download_in_chunks(media, 999_999, drop).await;
        assert_eq!(got, Err(MatrixError::FileTooLarge { bytes_max: 999_999 }));
    }
}

#[tokio::test]
async fn an_encrypted_file_is_checked_and_bounded_as_well() {
    let (media, sent) = encrypted(&[7; 100_000]);
    let homeserver = Homeserver::new("v1.11", Reply::chunked(sent.clone()));
    assert_eq!(homeserver.download(media.clone(), 100_000).await.unwrap(), [7; 100_000]);
    let got = homeserver.download(media.clone(), 99_999).await;
    assert_eq!(got, Err(MatrixError::FileTooLarge { bytes_max: 99_999 }));
    let altered = Homeserver::new("v1.11", Reply::chunked(&sent[1..]));
    let error = altered.download(media, 100_000).await.unwrap_err();
    assert!(matches!(error, MatrixError::Other { .. }), "{error:?}");
}

#[tokio::test]
async fn the_token_is_sent_only_to_the_homeserver() {
    let mut homeserver = Homeserver::new("v1.11", Reply::chunked(*b"bytes"));
    assert_eq!(homeserver.download(plain(), 5).await.unwrap(), b"bytes");
    let (head, _) = homeserver.asked.recv().await.unwrap();
    assert!(head.starts_with("get /_matrix/client/v1/media/download/cis.test/abc "), "{head}");
    assert!(head.contains("authorization: bearer the_token\r\n"), "{head}");

    // A homeserver may say that its files are elsewhere.
    let mut elsewhere = Homeserver::new("v1.11", Reply::chunked(vec![7; FLOOD]));
    let moved = format!("307 Temporary Redirect\r\nLocation: {}/there", elsewhere.address);
    let homeserver = Homeserver::new("v1.11", Reply::new(&moved, []));
    let got = homeserver.download(plain(), 5).await;
    assert_eq!(got, Err(MatrixError::FileTooLarge { bytes_max: 5 }));
    let (head, _) = elsewhere.asked.recv().await.unwrap();
    assert!(head.starts_with("get /there ") && !head.contains("the_token"), "{head}");

    // Homeservers before Matrix 1.11 give files to everybody.
    let mut old = Homeserver::new("v1.10", Reply::chunked(*b"bytes"));
    assert_eq!(old.download(plain(), 5).await.unwrap(), b"bytes");
    let (head, _) = old.asked.recv().await.unwrap();
    assert!(head.starts_with("get /_matrix/media/v3/download/cis.test/abc"), "{head}");
    assert!(!head.contains("the_token"), "{head}");
}

#[tokio::test]
async fn refusals_keep_the_homeservers_words() {
    let said = |code: &str| json!({ "errcode": code, "error": "words" }).to_string();
    let of = async |reply| Homeserver::new("v1.11", reply).download(plain(), 5).await.unwrap_err();
    let error = of(Reply::new("404 Not Found", said("M_NOT_FOUND"))).await;
    assert_eq!(error, MatrixError::NotFound { what: "words".to_owned() });
    let error = of(Reply::new("401 Unauthorized", said("M_UNKNOWN_TOKEN"))).await;
    assert_eq!(error, MatrixError::Unauthorized { detail: "words".to_owned() });
    assert!(of(Reply::new("502 Bad Gateway", "<html>")).await.is_passing());

    let mut homeserver = Homeserver::new("v1.11", Reply::new("403 Forbidden", vec![b'7'; FLOOD]));
    let error = homeserver.download(plain(), 5).await.unwrap_err();
    assert!(matches!(error, MatrixError::Forbidden { .. }), "{error:?}");
    assert!(homeserver.asked.recv().await.unwrap().1 < FLOOD / 2);
}

#[tokio::test]
async fn an_upload_is_one_request_with_the_bytes_as_they_are() {
    let uri = json!({ "content_uri": "mxc://cis.test/up" }).to_string();
    let mut homeserver = Homeserver::new("v1.11", Reply::chunked(uri));
    assert_eq!(homeserver.upload(vec![7; 3_000_000]).await.unwrap(), "mxc://cis.test/up");
    let (head, same) = homeserver.asked.recv().await.unwrap();
    assert_eq!(same, 3_000_000);
    assert!(head.starts_with("post /_matrix/media/v3/upload "), "{head}");
    for line in ["authorization: bearer the_token\r\n", "content-type: application/octet-stream\r\n"] {
        assert!(head.contains(line), "{head}");
    }

    let said = json!({ "errcode": "M_TOO_LARGE", "error": "words" }).to_string();
    let refusing = Homeserver::new("v1.11", Reply::new("413 Payload Too Large", said));
    let error = refusing.upload(vec![7; 10]).await.unwrap_err();
    assert_eq!(error, MatrixError::TooLarge { detail: "words".to_owned() });
    let passing = Homeserver::new("v1.11", Reply::new("502 Bad Gateway", "<html>"));
    assert!(passing.upload(vec![7; 10]).await.unwrap_err().is_passing());
    let odd = Homeserver::new("v1.11", Reply::chunked(vec![b' '; 1 << 20]));
    assert!(odd.upload(vec![7; 10]).await.is_err(), "the answer is not one of a homeserver");
}

#[tokio::test]
async fn a_part_of_a_file_is_uploaded_as_it_is_and_one_that_is_not_there_is_no_fault_of_the_network() {
    let uri = json!({ "content_uri": "mxc://cis.test/up" }).to_string();
    let mut homeserver = Homeserver::new("v1.11", Reply::chunked(uri));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[vec![1; 1000], vec![7; 3_000_000], vec![1; 1000]].concat()).unwrap();
    let part = FilePart { file: file.into(), start: 1000, size: 3_000_000 };
    assert_eq!(homeserver.upload(part.clone()).await.unwrap(), "mxc://cis.test/up");
    let (head, same) = homeserver.asked.recv().await.unwrap();
    assert!(head.contains("content-length: 3000000\r\n"), "{head}");
    assert_eq!(same, 3_000_000);

    let moved = Reply::new("307 Temporary Redirect\r\nLocation: /there", *b"");
    let mut moving = Homeserver::new("v1.11", moved);
    assert!(moving.upload(part.clone()).await.is_err(), "it redirects for ever");
    let asked: Vec<_> = std::iter::from_fn(|| moving.asked.try_recv().ok()).collect();
    let is_moved = |(head, same): &(String, usize)| head.starts_with("post /there ") && *same == 3_000_000;
    assert!(asked.iter().any(is_moved), "{asked:?}");

    let beyond = homeserver.upload(FilePart { size: 3_001_001, ..part }).await.unwrap_err();
    assert!(!beyond.is_passing(), "{beyond:?}");
    assert!(beyond.to_string().starts_with("cannot read the file to upload: "), "{beyond}");
}
