//! Compression of answers with brotli or gzip, as the client prefers. Answers are compressed piece by piece.

use std::io::Write as _;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::Response;
use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};

/// Shorter answers are not compressed, bytes.
const BYTES_MIN: u64 = 1024;
/// Bytes that are compressed at a time, which takes about a millisecond.
const PIECE_BYTES: usize = 64 << 10;
/// Quality and window of brotli: smaller than gzip for logs and listings, and as fast.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW: u32 = 20;

/// The content coding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Brotli,
}

/// Extension of an answer that is never compressed: a followed log is sent at once, not when a block is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsItComes;

/// Returns the coding that a client prefers (RFC 9110, 12.5.3).
pub(super) fn accepted(headers: &HeaderMap) -> Coding {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut gzip, mut brotli, mut any) = (None, None, None);
    for one in values.flat_map(|value| value.split(',')) {
        let (name, rest) = one.split_once(';').unwrap_or((one, ""));
        let weight = rest.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "br" => brotli = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let weight = |named: Option<f32>| named.or(any).unwrap_or(0.0);
    match (weight(brotli), weight(gzip)) {
        (brotli, gzip) if brotli > 0.0 && brotli >= gzip => Coding::Brotli,
        (_, gzip) if gzip > 0.0 => Coding::Gzip,
        _ => Coding::Identity,
    }
}

/// Returns the content type of an answer without its parameters.
pub(super) fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// Compresses an answer if it is text and long enough.
pub(super) fn encode(mut response: Response, coding: Coding) -> Response {
    let headers = response.headers();
    let is_text = essence(headers).is_some_and(|kind| {
        kind.starts_with("text/") || kind.ends_with("json") || kind == "application/toml"
    });
    let is_whole =
        !headers.contains_key(header::CONTENT_RANGE) && !headers.contains_key(header::CONTENT_ENCODING);
    if !is_text || !is_whole || response.extensions().get::<AsItComes>().is_some() {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let is_short = response.body().size_hint().upper().is_some_and(|bytes| bytes < BYTES_MIN);
    let (name, coder) = match coding {
        _ if is_short => return response,
        Coding::Identity => return response,
        Coding::Gzip => ("gzip", Coder::gzip()),
        Coding::Brotli => ("br", Coder::brotli()),
    };
    let (mut head, body) = response.into_parts();
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::ACCEPT_RANGES);
    Response::from_parts(head, coded(body.into_data_stream(), coder))
}

enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

impl Coder {
    fn gzip() -> Self {
        Self::Gzip(GzEncoder::new(Vec::new(), Compression::default()))
    }

    fn brotli() -> Self {
        Self::Brotli(Box::new(CompressorWriter::new(Vec::new(), PIECE_BYTES, BROTLI_QUALITY, BROTLI_WINDOW)))
    }

    /// Compresses bytes; returns the output that is complete so far.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(gzip) => {
                gzip.write_all(bytes)?;
                Ok(std::mem::take(gzip.get_mut()))
            }
            Self::Brotli(brotli) => {
                brotli.write_all(bytes)?;
                Ok(std::mem::take(brotli.get_mut()))
            }
        }
    }

    /// Returns the rest of the output.
    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Brotli(brotli) => Ok(brotli.into_inner()),
        }
    }
}

struct Coded {
    body: BodyDataStream,
    /// Received and not compressed yet.
    rest: Bytes,
    /// None after the end.
    coder: Option<Coder>,
}

impl Coded {
    /// Returns the next compressed bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, axum::Error> {
        // After its end the body may not be polled again.
        while let Some(coder) = &mut self.coder {
            if self.rest.is_empty() {
                match self.body.next().await {
                    Some(part) => self.rest = part?,
                    None => {
                        let Some(coder) = self.coder.take() else { break };
                        return coder.finish().map(|bytes| Some(bytes.into())).map_err(axum::Error::new);
                    }
                }
            }
            let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
            let bytes = coder.write(&piece).map_err(axum::Error::new)?;
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }
}

fn coded(body: BodyDataStream, coder: Coder) -> Body {
    let coded = Coded { body, rest: Bytes::new(), coder: Some(coder) };
    Body::from_stream(stream::unfold(coded, |mut coded| async move {
        match coded.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), coded)),
            Ok(None) => None,
            Err(error) => {
                coded.coder = None;
                coded.body = Body::empty().into_data_stream();
                coded.rest = Bytes::new();
                Some((Err(error), coded))
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn chosen(value: &'static str) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepted(&headers)
    }

    #[test]
    fn the_client_chooses() {
        assert_eq!(accepted(&HeaderMap::new()), Coding::Identity);
        assert_eq!(chosen("gzip, deflate, br"), Coding::Brotli);
        assert_eq!(chosen("gzip"), Coding::Gzip);
        assert_eq!(chosen("br;q=0.5, gzip;q=0.8"), Coding::Gzip);
        assert_eq!(chosen("br;q=0, *"), Coding::Gzip);
        assert_eq!(chosen("*;q=0"), Coding::Identity);
        assert_eq!(chosen("identity"), Coding::Identity);
    }

    #[tokio::test]
    async fn a_body_is_not_polled_after_its_end() {
        // An unfolded stream panics then.
        let pieces = stream::unfold(3, |left| async move {
            (left > 0).then(|| (Ok::<_, std::convert::Infallible>(Bytes::from_static(b"piece")), left - 1))
        });
        let body = coded(Body::from_stream(pieces).into_data_stream(), Coder::gzip());
        let all = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let mut back = String::new();
        flate2::read::GzDecoder::new(&all[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, "piecepiecepiece");
    }

    #[test]
    fn what_is_coded_comes_back() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| format!("{n} ").into_bytes()).collect();
        for mut coder in [Coder::gzip(), Coder::brotli()] {
            let is_gzip = matches!(coder, Coder::Gzip(_));
            let mut all = Vec::new();
            for piece in text.chunks(PIECE_BYTES) {
                all.extend(coder.write(piece).unwrap());
            }
            all.extend(coder.finish().unwrap());
            assert!(all.len() < text.len() / 2);
            let mut back = Vec::new();
            if is_gzip {
                flate2::read::GzDecoder::new(all.as_slice()).read_to_end(&mut back).unwrap();
            } else {
                brotli::Decompressor::new(all.as_slice(), 4096).read_to_end(&mut back).unwrap();
            }
            assert_eq!(back, text);
        }
    }
}
