//! The shapes in which a secret value turns up: see the list in the parent's head.

/// A line of a secret that is shorter is not looked for alone, bytes: it could be `}` or `true,`.
const LINE_BYTES_MIN: usize = 8;
/// A shorter piece of base64 is not looked for: it would be found by chance, characters.
const BASE64_CHARS_MIN: usize = 4;
/// Columns at which encoders wrap base64: base64(1) and MIME (RFC 2045), PEM (RFC 7468).
const BASE64_COLUMNS: [usize; 2] = [76, 64];
/// Longest value whose rare forms are looked for, bytes: each form takes memory.
const RARE_BYTES_MAX: usize = 4 << 10;
/// Longest total of all values with which rare forms are looked for, bytes.
pub(super) const ALL_RARE_BYTES_MAX: usize = 16 << 10;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Returns all forms of a value, each once, the value itself first. `rare`: rare forms too, unless the value
/// is too long.
pub(super) fn of(value: &str, rare: bool) -> Vec<Vec<u8>> {
    let rare = rare && value.len() <= RARE_BYTES_MAX;
    let mut forms = Forms(vec![value.as_bytes().to_vec()]);
    if value.contains('\n') {
        forms.add(value.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
        for line in value.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN) {
            forms.add(line.as_bytes().to_vec());
        }
    }
    // Plain text leaves control characters out.
    let plain = value.replace(|c: char| c.is_ascii_control() && !matches!(c, '\n' | '\t'), "");
    if plain.len() >= super::SECRET_BYTES_MIN {
        forms.add(plain.into_bytes());
    }
    // The form that a shell quotes, also in traces of commands (`set -x`).
    forms.add(value.replace('\'', r"'\''").into_bytes());
    json(value, rare, &mut forms);
    url(value, rare, &mut forms);
    forms.add(hex::encode(value).into_bytes());
    forms.add(hex::encode_upper(value).into_bytes());
    for alphabet in [STANDARD, URL_SAFE] {
        base64(value.as_bytes(), alphabet, &mut forms);
    }
    forms.0
}

struct Forms(Vec<Vec<u8>>);

impl Forms {
    fn add(&mut self, form: Vec<u8>) {
        if !self.0.contains(&form) {
            self.0.push(form);
        }
    }
}

/// Optional escapes of a JSON encoder (RFC 8259, 7).
#[derive(Clone, Copy)]
struct Escapes {
    /// These ASCII characters become `\uXXXX`.
    unicode: &'static str,
    /// `/` becomes `\/`.
    slash: bool,
    /// Characters outside ASCII become `\uXXXX`.
    ascii: bool,
    digits: &'static [u8; 16],
}

/// Adds the string forms of the JSON encoders of serde, Python, JavaScript, Go, PHP, Ruby, .NET and others,
/// without quotes.
fn json(value: &str, rare: bool, forms: &mut Forms) {
    let plain = Escapes { unicode: "", slash: false, ascii: false, digits: LOWER };
    for slash in [false, true] {
        for (ascii, digits) in [(false, LOWER), (true, LOWER), (true, UPPER)] {
            forms.add(json_string(value, Escapes { slash, ascii, digits, ..plain }));
        }
    }
    for (unicode, digits) in [("<>&", LOWER), ("<>&'", UPPER), ("<>&'\"", LOWER), ("<>&'\"+`", UPPER)] {
        for (ascii, slash) in [(false, false), (true, false), (false, true), (true, true)] {
            forms.add(json_string(value, Escapes { unicode, slash, ascii, digits }));
        }
    }
    if rare {
        // JSON within JSON, as in JSON logs.
        let once = String::from_utf8(json_string(value, plain)).unwrap_or_default();
        forms.add(json_string(&once, plain));
        for digits in [LOWER, UPPER] {
            forms.add(value.encode_utf16().flat_map(|unit| unicode_escape(unit, digits)).collect());
        }
    }
}

fn json_string(value: &str, escapes: Escapes) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for c in value.chars() {
        let short = match c {
            _ if escapes.unicode.contains(c) => None,
            '"' => Some('"'),
            '\\' => Some('\\'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '/' if escapes.slash => Some('/'),
            _ => None,
        };
        let is_escaped = escapes.unicode.contains(c) || c < ' ' || (escapes.ascii && (!c.is_ascii()));
        match short {
            Some(short) => out.extend_from_slice(&[b'\\', short as u8]),
            None if is_escaped => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend(unicode_escape(*unit, escapes.digits));
                }
            }
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn unicode_escape(unit: u16, digits: &[u8; 16]) -> [u8; 6] {
    let digit = |shift: u16| digits[usize::from(unit >> shift & 15)];
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

/// Adds the forms of percent-encoding (RFC 3986, 2.1). Libraries differ in which characters they keep, and in
/// whether a blank becomes `+`.
fn url(value: &str, rare: bool, forms: &mut Forms) {
    const COMMON: &[(&str, bool)] = &[
        // quote of Python, and the same without `/`; quote_plus, and the same with `/`.
        ("-._~/", false),
        ("-._~", false),
        ("-._~", true),
        ("-._~/", true),
    ];
    const RARE: &[(&str, bool)] = &[
        // encodeURIComponent, encodeURI; forms of browsers; nothing but letters and digits.
        ("-._~!'()*", false),
        ("-._~!'()*;,/?:@&=+$#", false),
        ("-._*", true),
        ("", false),
    ];
    let rare = if rare { RARE } else { &[] };
    for (kept, plus) in COMMON.iter().chain(rare) {
        for digits in [UPPER, LOWER] {
            forms.add(percent(value, kept.as_bytes(), *plus, digits));
        }
    }
}

fn percent(value: &str, kept: &[u8], plus: bool, digits: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => out.push(byte),
            b' ' if plus => out.push(b'+'),
            _ => {
                let (high, low) = (digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
    out
}

/// Adds the forms of base64 (RFC 4648) at each of the three alignments: the characters that depend on the value alone;
/// the same for a text that ends with the value, with and without padding; and the lines of the wrapped value.
fn base64(value: &[u8], alphabet: &[u8; 64], forms: &mut Forms) {
    for (shift, first) in FIRST.into_iter().enumerate() {
        let Encoded { inner, last } = encoded(value, shift, alphabet);
        if inner.len() < BASE64_CHARS_MIN {
            continue;
        }
        if let Some(last) = last {
            let mut whole = inner.clone();
            whole.push(last);
            forms.add(whole.clone());
            while !(first + whole.len()).is_multiple_of(4) {
                whole.push(b'=');
            }
            forms.add(whole);
        }
        forms.add(inner);
    }
    let mut whole = encoded(value, 0, alphabet);
    whole.inner.extend(whole.last);
    for columns in BASE64_COLUMNS {
        if whole.inner.len() > columns {
            let lines = whole.inner.chunks(columns).filter(|line| line.len() >= LINE_BYTES_MIN);
            lines.for_each(|line| forms.add(line.to_vec()));
        }
    }
}

/// Number of first characters that hold bits of the text before the value, by alignment.
const FIRST: [usize; 3] = [0, 2, 3];

struct Encoded {
    /// The characters that depend on the value alone.
    inner: Vec<u8>,
    /// The character after them if the value ends the text; none: the value ends with a whole character.
    last: Option<u8>,
}

/// Encodes the value as if `shift` bytes (modulo 3) came before it.
fn encoded(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> Encoded {
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
    let last = (count > 0).then(|| alphabet[(bits << (6 - count) & 63) as usize]);
    Encoded { inner: out.split_off(FIRST[shift].min(out.len())), last }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: &[u8]) -> &str {
        std::str::from_utf8(form).unwrap()
    }

    fn of(value: &str) -> Vec<Vec<u8>> {
        super::of(value, true)
    }

    #[test]
    fn base64_is_found_at_each_alignment() {
        let inner = |shift| encoded(b"hunter2", shift, STANDARD).inner;
        // `printf 'xhunter2 pass' | base64` and the like.
        assert_eq!(text(&inner(0)), "aHVudGVyM");
        assert!("eGh1bnRlcjIgcGFzcw==".contains(text(&inner(1))));
        assert!("eHhodW50ZXIyIHBhc3M=".contains(text(&inner(2))));
        // `printf xhunter2 | base64`, and with two letters before the value: the last character is whole.
        let has = |form: &str| of("hunter2").iter().any(|known| known == form.as_bytes());
        for whole in ["aHVudGVyMg==", "aHVudGVyMg", "h1bnRlcjI=", "odW50ZXIy"] {
            assert!(has(whole), "{whole}");
        }
        let short = of("a~?>");
        assert!(
            ["YX4/Pg==", "YX4_Pg==", "YX4_Pg"].iter().all(|form| short.contains(&form.as_bytes().to_vec()))
        );
    }

    #[test]
    fn wrapped_base64_is_found_by_its_lines() {
        let value: String = (0..100u8).map(|n| char::from(b'!' + n % 90)).collect();
        let forms = of(&value);
        let mut whole = encoded(value.as_bytes(), 0, STANDARD);
        whole.inner.extend(whole.last);
        for columns in BASE64_COLUMNS {
            for line in whole.inner.chunks(columns).filter(|line| line.len() >= LINE_BYTES_MIN) {
                assert!(forms.contains(&line.to_vec()), "{}", text(line));
            }
        }
    }

    #[test]
    fn percent_encoding_keeps_what_each_library_keeps() {
        let forms = of("a/b c~é!+");
        for form in [
            "a/b%20c~%C3%A9%21%2B",
            "a/b%20c~%c3%a9%21%2b",
            "a%2Fb%20c~%C3%A9%21%2B",
            "a%2Fb+c~%C3%A9%21%2B",
            "a%2fb+c~%c3%a9%21%2b",
            "a%2Fb%20c~%C3%A9!%2B",
            "a/b%20c~%C3%A9!+",
            "a%2Fb+c%7E%C3%A9%21%2B",
        ] {
            assert!(forms.iter().any(|known| known == form.as_bytes()), "{form}");
        }
    }

    #[test]
    fn json_strings_of_each_encoder_are_forms() {
        let forms = of("a/<é\"\n😀");
        for form in [
            "a/<é\\\"\\n😀",
            "a\\/<é\\\"\\n😀",
            "a/<\\u00e9\\\"\\n\\ud83d\\ude00",
            "a\\/<\\u00e9\\\"\\n\\ud83d\\ude00",
            "a/<\\u00E9\\\"\\n\\uD83D\\uDE00",
            "a/\\u003cé\\\"\\n😀",
            "a/\\u003C\\u00E9\\u0022\\n\\uD83D\\uDE00",
            "a/<é\\\\\\\"\\\\n😀",
            "\\u0061\\u002f\\u003c\\u00e9\\u0022\\u000a\\ud83d\\ude00",
        ] {
            assert!(forms.iter().any(|known| known == form.as_bytes()), "{form}");
        }
        let serde = serde_json::to_string("a/<é\"\n\u{7f}\u{1}").unwrap();
        let own = of("a/<é\"\n\u{7f}\u{1}");
        assert!(own.iter().any(|known| known == &serde.as_bytes()[1..serde.len() - 1]));
    }

    #[test]
    fn hex_and_what_plain_text_leaves_of_it_are_forms() {
        let forms = of("ab\x1bc\rd");
        let has = |form: &str| forms.iter().any(|known| known == form.as_bytes());
        assert!(has("abcd") && has("61621b630d64") && has("61621B630D64"), "{forms:?}");
        assert!(!of("a\x01\x02\x03b").contains(&b"ab".to_vec()), "it would be found everywhere");
        assert!(of("it's one").contains(&br"it'\''s one".to_vec()));
    }
}
