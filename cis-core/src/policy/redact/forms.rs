//! The shapes in which a secret value turns up: see the list in the parent's head.

/// A line of a secret that is shorter is not looked for alone, bytes: it could be `}` or `true,`.
const LINE_BYTES_MIN: usize = 8;
/// A shorter piece of base64 is not looked for: it would be found by chance, characters.
const BASE64_CHARS_MIN: usize = 5;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// All forms of a value, itself first, each once.
pub(super) fn of(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    let mut add = |form: Vec<u8>| {
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    if value.contains('\n') {
        add(value.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
        for line in value.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN) {
            add(line.as_bytes().to_vec());
        }
    }
    // Plain text leaves control characters out.
    let plain = value.replace(|c: char| c.is_ascii_control() && !matches!(c, '\n' | '\t'), "");
    if plain.len() >= super::SECRET_BYTES_MIN {
        add(plain.into_bytes());
    }
    if let Ok(json) = serde_json::to_string(value) {
        add(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for (digits, blank) in
        [(b"0123456789ABCDEF", "%20"), (b"0123456789ABCDEF", "+"), (b"0123456789abcdef", "%20")]
    {
        add(percent(value, digits, blank));
    }
    add(hex::encode(value).into_bytes());
    add(hex::encode_upper(value).into_bytes());
    for alphabet in [STANDARD, URL_SAFE] {
        for shift in 0..3 {
            let piece = base64_inner(value.as_bytes(), shift, alphabet);
            if piece.len() >= BASE64_CHARS_MIN {
                add(piece);
            }
        }
    }
    forms
}

/// Percent-encoding of all but unreserved characters (RFC 3986 §2.3).
fn percent(value: &str, digits: &[u8; 16], blank: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            b' ' => out.extend_from_slice(blank.as_bytes()),
            _ => {
                let (high, low) = (digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
    out
}

/// The characters of base64 (RFC 4648) that depend on `value` alone, where `shift` bytes (modulo 3)
/// stand before it and anything after it.
fn base64_inner(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 4 / 3 + 4);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in std::iter::repeat_n(&0, shift).chain(value) {
        bits = (bits << 8 | u32::from(*byte)) & 0xFFFF;
        count += 8;
        while count >= 6 {
            count -= 6;
            out.push(alphabet[(bits >> count & 63) as usize]);
        }
    }
    out.split_off([0, 2, 3][shift].min(out.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: &[u8]) -> &str {
        std::str::from_utf8(form).unwrap()
    }

    #[test]
    fn base64_is_found_at_each_alignment() {
        // `printf 'xhunter2 pass' | base64` and the like.
        assert_eq!(text(&base64_inner(b"hunter2", 0, STANDARD)), "aHVudGVyM");
        assert!("eGh1bnRlcjIgcGFzcw==".contains(text(&base64_inner(b"hunter2", 1, STANDARD))));
        assert!("eHhodW50ZXIyIHBhc3M=".contains(text(&base64_inner(b"hunter2", 2, STANDARD))));
    }

    #[test]
    fn percent_encoding_keeps_what_is_unreserved() {
        let upper = percent("a/b c~é", b"0123456789ABCDEF", "%20");
        assert_eq!(text(&upper), "a%2Fb%20c~%C3%A9");
    }

    #[test]
    fn hex_and_what_plain_text_leaves_of_it_are_forms() {
        let forms = of("ab\x1bc\rd");
        let has = |form: &str| forms.iter().any(|known| known == form.as_bytes());
        assert!(has("abcd") && has("61621b630d64") && has("61621B630D64"), "{forms:?}");
        assert!(!of("a\x01\x02\x03b").contains(&b"ab".to_vec()), "it would be found everywhere");
    }
}
