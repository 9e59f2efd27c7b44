//! Binary frames of an attach that tell their place, so that a viewer whose connection was lost goes on there.
//!
//! A frame is `next: u64 LE`, then bytes for the terminal. `next` is the first byte of the session's output that no frame
//! so far stands for; `u64::MAX` where that is not known: then only a picture can go on. What queries and secrets the
//! bytes were rid of, they themselves do not tell.

/// Of the place.
const HEAD_BYTES: usize = 8;

/// A frame on its way.
#[must_use]
pub fn mark_frame(bytes: &[u8], next: Option<u64>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + bytes.len());
    frame.extend_from_slice(&next.unwrap_or(u64::MAX).to_le_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// The place that a frame tells, and where its bytes begin; none: it is no such frame.
#[must_use]
pub fn read_mark(frame: &[u8]) -> Option<(Option<u64>, usize)> {
    let head = frame.first_chunk::<HEAD_BYTES>()?;
    let next = u64::from_le_bytes(*head);
    Some(((next != u64::MAX).then_some(next), HEAD_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        for next in [None, Some(0), Some(u64::MAX - 1)] {
            let frame = mark_frame(b"abc", next);
            let (found, at) = read_mark(&frame).unwrap();
            assert_eq!((found, &frame[at..]), (next, b"abc".as_slice()));
        }
        assert_eq!(read_mark(b"1234567"), None);
    }
}
