//! The shapes in which a secret value turns up: see the list in the parent's head.

use std::ops::Range;

use unicode_width::UnicodeWidthChar as _;

use crate::text::is_invisible;

/// A line of a secret that is shorter is not looked for alone, bytes: it could be `}` or `true,`.
pub(super) const LINE_BYTES_MIN: usize = 8;
/// A shorter piece of base64 is not looked for: it would be found by chance, characters.
const BASE64_CHARS_MIN: usize = 4;
/// Longest value whose rare forms are looked for, bytes: each form takes memory.
const RARE_BYTES_MAX: usize = 4 << 10;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Returns the length of the invisible character with which UTF-8 begins; 0: it does not.
#[must_use]
pub fn invisible_at(bytes: &[u8]) -> usize {
    // Its first two bytes tell nearly every other character apart, without decoding it.
    let length = match bytes {
        [0xC2, 0xAD, ..] | [0xCD, 0x8F, ..] | [0xD8, 0x9C, ..] => return 2,
        [0xE1, 0x85 | 0x9E | 0xA0, ..]
        | [0xE2, 0x80 | 0x81, ..]
        | [0xE3, 0x85, ..]
        | [0xEF, 0xB8 | 0xBB | 0xBE | 0xBF, ..] => 3,
        [0xF0, 0x9B | 0x9D, ..] | [0xF3, 0xA0, ..] => 4,
        _ => return 0,
    };
    let first = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    if first.is_some_and(|text| text.chars().all(is_invisible)) { length } else { 0 }
}

/// Returns whether a character has a place of its own on a screen, and is not blank there.
#[must_use]
pub fn is_drawn(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c) && c.width().is_some_and(|width| width > 0)
}

/// Returns where the first invisible character of a text stands.
pub(super) fn next_invisible(text: &[u8]) -> Option<Range<usize>> {
    let starts = text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii());
    let mut lengths = starts.map(|(at, _)| at..at + invisible_at(&text[at..]));
    lengths.find(|range| !range.is_empty())
}

/// How common a form is. More common forms get space in the search first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// The value itself and its lines.
    Plain,
    Common,
    Usual,
    Rare,
}

impl Usage {
    /// All but [`Self::Plain`], the most common first.
    pub(super) const ENCODED: [Self; 3] = [Self::Common, Self::Usual, Self::Rare];
}

/// Returns the forms of a value in one [`Usage`], each once.
pub(super) fn of(value: &str, usage: Usage) -> Vec<Form> {
    let mut forms = Forms::default();
    match usage {
        Usage::Plain => {
            forms.add_lines(value);
        }
        Usage::Common => {
            // Plain text leaves control characters out, and characters that a terminal does not show are no part of it.
            let plain =
                value.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t') || is_invisible(c), "");
            if plain.len() >= super::SECRET_BYTES_MIN {
                forms.add(plain.into_bytes());
            }
            for echoed in [true, false].map(|extended| echoed(value, extended)).into_iter().flatten() {
                let plain = echoed.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "");
                for text in [echoed, plain] {
                    if text.len() >= super::SECRET_BYTES_MIN {
                        forms.add_lines(&text);
                    }
                }
            }
            forms.add_wrapping(hex::encode(value).into_bytes());
            base64(value.as_bytes(), STANDARD, &mut forms);
        }
        Usage::Usual => {
            forms.add_wrapping(hex::encode_upper(value).into_bytes());
            base64(value.as_bytes(), URL_SAFE, &mut forms);
        }
        Usage::Rare if value.len() > RARE_BYTES_MAX => return Vec::new(),
        Usage::Rare => {}
    }
    shell(value, usage, &mut forms);
    json(value, usage, &mut forms);
    url(value, usage, &mut forms);
    forms.0
}

/// Returns what `echo` of a POSIX shell writes of a value (XSI, as in dash), which takes backslashes as escapes; `extended`: what
/// `echo -e` and `printf %b` of bash do. `None`: the value itself.
fn echoed(value: &str, extended: bool) -> Option<String> {
    if !value.contains('\\') {
        return None;
    }
    let (mut out, mut rest) = (String::with_capacity(value.len()), value);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let simple = match behind.as_bytes().first() {
            Some(b'\\') => Some('\\'),
            Some(b'a') => Some('\u{7}'),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            Some(b'v') => Some('\u{b}'),
            Some(b'e' | b'E') if extended => Some('\u{1b}'),
            // Nothing follows it.
            Some(b'c') => return Some(out),
            _ => None,
        };
        let number = |text: &str, radix: u32, digits_max: usize| {
            let digits = text.chars().take(digits_max).take_while(|c| c.is_digit(radix)).count();
            // More than ASCII is no text of its own.
            let code = u32::from_str_radix(&text[..digits], radix).ok()?;
            Some((char::from_u32(code).filter(char::is_ascii)?, digits))
        };
        let numbered = match behind.as_bytes().first() {
            Some(b'0') => number(&behind[1..], 8, 3).map(|(c, digits)| (c, 1 + digits)),
            Some(b'x') if extended => number(&behind[1..], 16, 2).map(|(c, digits)| (c, 1 + digits)),
            _ => None,
        };
        let (c, length) = simple.map(|c| (c, 1)).or(numbered).unwrap_or(('\\', 0));
        out.push(c);
        rest = &behind[length..];
    }
    out.push_str(rest);
    (out != value).then_some(out)
}

/// A text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) bytes: Vec<u8>,
    /// Whether encoders wrap it into lines at any place.
    pub(super) wraps: bool,
}

#[derive(Default)]
struct Forms(Vec<Form>);

impl Forms {
    /// Adds a text of several lines, with its line ends and with those of a terminal, and its long lines.
    fn add_lines(&mut self, text: &str) {
        self.add(text.as_bytes().to_vec());
        if text.contains('\n') {
            // A terminal writes a carriage return before each line feed, also where there is one.
            self.add(text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
            self.add(text.replace('\n', "\r\n").into_bytes());
            for line in text.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN) {
                self.add(line.as_bytes().to_vec());
            }
        }
    }

    fn add(&mut self, bytes: Vec<u8>) {
        self.put(Form { bytes, wraps: false });
    }

    fn add_wrapping(&mut self, bytes: Vec<u8>) {
        self.put(Form { bytes, wraps: true });
    }

    fn put(&mut self, form: Form) {
        if !self.0.contains(&form) {
            self.0.push(form);
        }
    }
}

/// Characters before which `printf %q` of bash writes a backslash.
const SHELL_SPECIAL: &str = " '\"\\|&;()<>!{}*[]?^$`,";

/// Adds the forms in which dash and bash quote a value: `set`, `set -x`, `export -p`, `declare -p` and `printf %q`.
/// They are without the quotes around the value.
fn shell(value: &str, usage: Usage, forms: &mut Forms) {
    let escape = |special: &str| -> String {
        value.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect()
    };
    match usage {
        Usage::Plain | Usage::Rare => {}
        Usage::Common => {
            // dash puts double quotes around all neighboring `'` at once, others around each. After a last `'`, dash writes
            // no empty string.
            let each = value.replace('\'', r#"'"'"'"#);
            for form in [each.replace(r#""''""#, ""), each] {
                let at_end = form.strip_suffix('\'').filter(|_| value.ends_with('\''));
                forms.add_lines(at_end.unwrap_or(&form));
            }
            forms.add_lines(&value.replace('\'', r"'\''"));
            forms.add_lines(&escape("$`\"\\"));
            forms.add_lines(&escape(SHELL_SPECIAL).replace("=~", r"=\~").replace(":~", r":\~"));
        }
        Usage::Usual if value.chars().any(|c| c.is_control() || !c.is_ascii()) => {
            forms.add(ansi_c(value, false));
            forms.add(ansi_c(value, true));
        }
        Usage::Usual => {}
    }
}

/// Returns the value as bash writes it between `$'` and `'`. Where the locale is `C`, bytes outside ASCII are in octal.
fn ansi_c(value: &str, ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for c in value.chars() {
        let short = match c {
            '\'' | '\\' => Some(c as u8),
            '\u{7}' => Some(b'a'),
            '\u{8}' => Some(b'b'),
            '\u{1b}' => Some(b'E'),
            '\u{c}' => Some(b'f'),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            '\u{b}' => Some(b'v'),
            _ => None,
        };
        let bytes = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        match short {
            Some(short) => out.extend_from_slice(&[b'\\', short]),
            None if c.is_control() || (ascii && !c.is_ascii()) => {
                bytes.iter().for_each(|byte| out.extend_from_slice(format!("\\{byte:03o}").as_bytes()));
            }
            None => out.extend_from_slice(&bytes),
        }
    }
    out
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
fn json(value: &str, usage: Usage, forms: &mut Forms) {
    const FOR_HTML: [(&str, &[u8; 16]); 4] =
        [("<>&", LOWER), ("<>&'", UPPER), ("<>&'\"", LOWER), ("<>&'\"+`", UPPER)];
    let plain = Escapes { unicode: "", slash: false, ascii: false, digits: LOWER };
    let mut add = |escapes: Escapes| forms.add(json_string(value, escapes));
    match usage {
        Usage::Plain => {}
        Usage::Common => {
            add(plain);
            add(Escapes { ascii: true, ..plain });
        }
        Usage::Usual => {
            add(Escapes { ascii: true, digits: UPPER, ..plain });
            for (ascii, digits) in [(false, LOWER), (true, LOWER), (true, UPPER)] {
                add(Escapes { slash: true, ascii, digits, ..plain });
            }
            for (unicode, digits) in FOR_HTML {
                add(Escapes { unicode, digits, ..plain });
            }
        }
        Usage::Rare => {
            for (unicode, digits) in FOR_HTML {
                for (ascii, slash) in [(true, false), (false, true), (true, true)] {
                    add(Escapes { unicode, slash, ascii, digits });
                }
            }
            // JSON within JSON, as in JSON logs.
            let once = String::from_utf8(json_string(value, plain)).unwrap_or_default();
            forms.add(json_string(&once, plain));
            for digits in [LOWER, UPPER] {
                forms.add(value.encode_utf16().flat_map(|unit| unicode_escape(unit, digits)).collect());
            }
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
fn url(value: &str, usage: Usage, forms: &mut Forms) {
    let encoders: &[(&str, bool, &[u8; 16])] = match usage {
        Usage::Plain => return,
        // quote of Python, and the same without `/`; quote_plus.
        Usage::Common => &[("-._~/", false, UPPER), ("-._~", false, UPPER), ("-._~", true, UPPER)],
        Usage::Usual => &[
            ("-._~/", false, LOWER),
            ("-._~", false, LOWER),
            ("-._~", true, LOWER),
            ("-._~/", true, UPPER),
            ("-._~/", true, LOWER),
        ],
        // encodeURIComponent, encodeURI; forms of browsers; nothing but letters and digits.
        Usage::Rare => &[
            ("-._~!'()*", false, UPPER),
            ("-._~!'()*", false, LOWER),
            ("-._~!'()*;,/?:@&=+$#", false, UPPER),
            ("-._~!'()*;,/?:@&=+$#", false, LOWER),
            ("-._*", true, UPPER),
            ("-._*", true, LOWER),
            ("", false, UPPER),
            ("", false, LOWER),
        ],
    };
    for (kept, plus, digits) in encoders {
        forms.add(percent(value, kept.as_bytes(), *plus, digits));
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

/// Adds the forms of base64 (RFC 4648) at each of the three alignments: the characters that depend on the value alone,
/// and the same for a text that ends with the value, with and without padding. All of them may be wrapped.
fn base64(value: &[u8], alphabet: &[u8; 64], forms: &mut Forms) {
    for (shift, first) in FIRST.into_iter().enumerate() {
        let Encoded { inner, last } = encoded(value, shift, alphabet);
        if inner.len() < BASE64_CHARS_MIN {
            continue;
        }
        if let Some(last) = last {
            let mut whole = inner.clone();
            whole.push(last);
            forms.add_wrapping(whole.clone());
            while !(first + whole.len()).is_multiple_of(4) {
                whole.push(b'=');
            }
            forms.add_wrapping(whole);
        }
        forms.add_wrapping(inner);
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
        crate::policy::redact::forms_of(value).into_iter().map(String::into_bytes).collect()
    }

    #[test]
    fn each_invisible_character_is_recognized_by_its_bytes() {
        for c in '\0'..=char::MAX {
            let mut bytes = [0; 5];
            let length = c.encode_utf8(&mut bytes).len();
            assert_eq!(invisible_at(&bytes), if is_invisible(c) { length } else { 0 }, "{c:?}");
            assert_eq!(invisible_at(&bytes[..length - 1]), 0, "a part of {c:?}");
        }
    }

    /// The default shell's `echo` takes backslashes as escapes.
    #[test]
    fn what_echo_writes_is_a_form() {
        for (value, posix, bash) in [
            (r"CORP\tina-9fK2\backup77Qz", Some("CORP\tina-9fK2\u{8}ackup77Qz"), None),
            (r"a\\b\n\0101c", Some("a\\b\nAc"), None),
            (r"pass\e[0mword\x41", None, Some("pass\u{1b}[0mwordA")),
            (r"begin\cgone", Some("begin"), None),
            (r"\q\", None, None),
            ("plain", None, None),
        ] {
            assert_eq!(echoed(value, false).as_deref(), posix, "{value}");
            assert_eq!(echoed(value, true).as_deref(), bash.or(posix), "{value}");
        }
        let forms = of(r"CORP\tina-9fK2\backup77Qz");
        for text in ["CORP\tina-9fK2\u{8}ackup77Qz", "CORP\tina-9fK2ackup77Qz"] {
            assert!(forms.iter().any(|form| form == text.as_bytes()), "{text}");
        }
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
    }

    #[test]
    fn values_as_shells_quote_them_are_forms() {
        let forms = of("it's $x`y`\"b\\c&!d");
        for form in [
            r#"it'\''s $x`y`"b\c&!d"#,
            r#"it'"'"'s $x`y`"b\c&!d"#,
            r#"it's \$x\`y\`\"b\\c&!d"#,
            r#"it\'s\ \$x\`y\`\"b\\c\&\!d"#,
        ] {
            assert!(forms.contains(&form.as_bytes().to_vec()), "{form}");
        }
        assert!(of("a=~b:~c").contains(&br"a=\~b:\~c".to_vec()));
        let two = of("it's\nlong enough");
        assert!(
            two.contains(&b"it'\"'\"'s\r\nlong enough".to_vec()) && two.contains(&b"long enough".to_vec())
        );
        assert!(of("it's 'q'").contains(&br#"it'"'"'s '"'"'q'"'""#.to_vec()));
        assert!(of("a''b'c").contains(&br#"a'"''"'b'"'"'c"#.to_vec()));
        let forms = of("né'\n\t\x1b\x01$x");
        for form in [r"n\303\251\'\n\t\E\001$x", r"né\'\n\t\E\001$x"] {
            assert!(forms.contains(&form.as_bytes().to_vec()), "{form}");
        }
    }
}
