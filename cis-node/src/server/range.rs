//! Range requests (RFC 9110, 14): one range of bytes, or the whole content.

use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, stream};

use super::errors::Failure;
use cis_core::api::{Problem, ProblemKind};

/// Returns the range of `size` bytes that is asked for; none: the whole content. `tag` is the present `ETag`.
///
/// # Errors
/// The answer 416: nothing of the content is in the range.
#[allow(clippy::result_large_err, reason = "it goes out as it is")]
pub(super) fn asked(
    headers: &HeaderMap,
    size: u64,
    tag: Option<&str>,
) -> Result<Option<Range<u64>>, Response> {
    // A client must not put parts of two versions together.
    let same = headers.get(header::IF_RANGE).is_none_or(|known| known.to_str().ok() == tag);
    let Some(value) = headers.get(header::RANGE).filter(|_| same).and_then(|value| value.to_str().ok())
    else {
        return Ok(None);
    };
    // Several ranges, other units and what is malformed are ignored (RFC 9110, 14.2).
    let Some(given) = value.trim().strip_prefix("bytes=").and_then(parse) else { return Ok(None) };
    let range = match given {
        Given::From(first, last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        Given::Last(count) => size.saturating_sub(count)..size,
    };
    if range.start < range.end { Ok(Some(range)) } else { Err(nothing_there(size)) }
}

enum Given {
    From(u64, Option<u64>),
    Last(u64),
}

fn parse(text: &str) -> Option<Given> {
    let number =
        |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.trim().split_once('-')? {
        ("", count) => number(count).map(Given::Last),
        (first, "") => number(first).map(|first| Given::From(first, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Given::From(first, Some(last)))
        }
    }
}

fn nothing_there(size: u64) -> Response {
    let detail = format!("the content has {size} bytes: nothing of it is in the range");
    let mut response = Failure(Problem::new(ProblemKind::RangeNotSatisfiable, detail)).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Makes the answer 206 with the `bytes` of `range`.
pub(super) fn part(
    range: &Range<u64>,
    size: u64,
    bytes: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let body = Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>));
    let head = [
        (header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
    ];
    (StatusCode::PARTIAL_CONTENT, head, body).into_response()
}

/// Cuts a range out of a stream, and stops reading behind it.
pub(super) fn cut<S: Stream<Item = Bytes> + Send + Unpin + 'static>(
    bytes: S,
    range: Range<u64>,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let state = (bytes, range.start, range.end - range.start);
    stream::unfold(state, |(mut bytes, mut skip, mut left)| async move {
        while left > 0 {
            let mut piece = bytes.next().await?;
            let over = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= over as u64;
            let _ = piece.split_to(over);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            if !piece.is_empty() {
                return Some((piece, (bytes, skip, left)));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str, size: u64) -> Result<Option<Range<u64>>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(value));
        asked(&headers, size, None).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn one_range_is_answered() {
        assert_eq!(of("bytes=0-4", 10), Ok(Some(0..5)));
        assert_eq!(of("bytes=5-", 10), Ok(Some(5..10)));
        assert_eq!(of("bytes=-3", 10), Ok(Some(7..10)));
        assert_eq!(of("bytes=-30", 10), Ok(Some(0..10)));
        assert_eq!(of("bytes=5-99", 10), Ok(Some(5..10)));
        assert_eq!(of("bytes=10-", 10), Err(416));
        assert_eq!(of("bytes=0-", 0), Err(416));
        assert_eq!(of("bytes=-0", 10), Err(416));
        for ignored in ["bytes=0-1,3-4", "items=0-1", "bytes=4-0", "bytes=a-b", "bytes=", "bytes=+1-2"] {
            assert_eq!(of(ignored, 10), Ok(None), "{ignored}");
        }
    }

    #[test]
    fn a_part_of_another_version_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-4"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"a\""));
        assert_eq!(asked(&headers, 10, Some("\"a\"")).ok(), Some(Some(0..5)));
        assert_eq!(asked(&headers, 10, Some("\"b\"")).ok(), Some(None));
    }
}
