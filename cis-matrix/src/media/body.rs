//! What is uploaded: bytes, or a part of a file that is read while it is sent.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Answer, MatrixError, answer};

/// Bytes that are read from a file at a time: they are still in the processor's cache when they are sent.
const PIECE_BYTES: u64 = 256 << 10;

/// What is uploaded.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// A part of a file, which must not change meanwhile. In a room without encryption it is never in memory as a whole.
    File(FilePart),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<FilePart> for Content {
    fn from(part: FilePart) -> Self {
        Self::File(part)
    }
}

impl Content {
    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(part) => part.size,
        }
    }

    /// Its bytes. Those of a file are read now.
    #[must_use]
    pub fn into_bytes(self) -> Answer<Bytes> {
        answer(async move {
            match self {
                Self::Bytes(bytes) => Ok(bytes),
                Self::File(part) => {
                    let read = spawn_blocking(move || part.read()).await.map_err(MatrixError::other)?;
                    read.map_err(unreadable)
                }
            }
        })
    }
}

/// Part of a file.
#[derive(Debug, Clone)]
pub struct FilePart {
    /// The open file.
    pub file: Arc<File>,
    /// Where it begins, bytes.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl FilePart {
    fn read(&self) -> io::Result<Bytes> {
        let size = usize::try_from(self.size).map_err(io::Error::other)?;
        let mut bytes = BytesMut::zeroed(size);
        self.file.read_exact_at(&mut bytes, self.start)?;
        Ok(bytes.freeze())
    }

    /// Takes the next piece off the front.
    fn split(&mut self) -> Self {
        let size = self.size.min(PIECE_BYTES);
        let first = Self { size, ..self.clone() };
        self.start += size;
        self.size -= size;
        first
    }
}

/// A request body that reads a [`FilePart`] while it is sent.
pub(super) struct FileBody {
    /// What is not yet read.
    left: FilePart,
    unsent: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    failed: Arc<OnceLock<String>>,
}

impl FileBody {
    /// `failed` gets what is wrong with the file: in the error of the request it would look like an error of the network.
    pub(super) fn new(part: FilePart, failed: Arc<OnceLock<String>>) -> Self {
        Self { unsent: part.size, left: part, reading: None, failed }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.reading.is_none() && this.left.size == 0 {
            return Poll::Ready(None);
        }
        let left = &mut this.left;
        let reading = this.reading.get_or_insert_with(|| {
            let piece = left.split();
            spawn_blocking(move || piece.read())
        });
        let done = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        // A thread that ends with the program says nothing about the file.
        let read = done.map_err(io::Error::other)?;
        match &read {
            Ok(bytes) => this.unsent -= bytes.len() as u64,
            Err(error) => drop(this.failed.set(error.to_string())),
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none() && self.left.size == 0
    }

    /// Exact, so that the request has its length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}

/// The file to upload cannot be read. Trying again would not help.
pub(super) fn unreadable(why: impl Display) -> MatrixError {
    MatrixError::BadInput { detail: format!("cannot read the file to upload: {why}") }
}
