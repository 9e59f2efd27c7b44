//! Where in the file a character of a TOML string stands, escapes and line ends taken into account.

use std::ops::Range;

/// The place in the file of `inner`, bytes of the decoded string `decoded`, whose literal with its
/// quotes stands at `literal`. The whole literal where that cannot be told.
pub(super) fn in_file(
    text: &str,
    literal: &Range<usize>,
    decoded: &str,
    inner: &Range<usize>,
) -> Range<usize> {
    let raw = &text[literal.clone()];
    match (raw_offset(raw, decoded, inner.start, false), raw_offset(raw, decoded, inner.end, true)) {
        (Some(start), Some(end)) => literal.start + start..literal.start + end,
        _ => literal.clone(),
    }
}

/// How far into the literal `raw` the byte `wanted` of its value stands. An end stands right after
/// the character before it, a start right before its own.
fn raw_offset(raw: &str, decoded: &str, wanted: usize, is_end: bool) -> Option<usize> {
    let (body, escapes) = if let Some(body) = raw.strip_prefix("'''") {
        (3 + first_newline(body), false)
    } else if let Some(body) = raw.strip_prefix("\"\"\"") {
        (3 + first_newline(body), true)
    } else {
        (1, raw.starts_with('"'))
    };
    if !escapes || !raw.contains('\\') {
        return (body + wanted < raw.len()).then_some(body + wanted);
    }
    let mut at = body;
    let mut value = decoded.char_indices().map(|(offset, _)| offset).chain([decoded.len()]);
    loop {
        let offset = value.next()?;
        if is_end && offset >= wanted {
            return Some(at);
        }
        // A line that goes on stands for nothing.
        while let Some(length) = continued_line(&raw[at..]) {
            at += length;
        }
        if offset >= wanted {
            return Some(at);
        }
        at += unit(raw.get(at..)?)?;
    }
}

fn first_newline(body: &str) -> usize {
    if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) }
}

/// `\`, blanks, a line end, and all blanks and line ends after it.
fn continued_line(raw: &str) -> Option<usize> {
    let rest = raw.strip_prefix('\\')?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest[blanks..]
        .starts_with(['\n', '\r'])
        .then(|| raw.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len())
}

/// Length of what stands for one character.
fn unit(raw: &str) -> Option<usize> {
    let mut chars = raw.chars();
    match chars.next()? {
        '\\' => Some(match chars.next()? {
            'x' => 4,
            'u' => 6,
            'U' => 10,
            other => 1 + other.len_utf8(),
        }),
        plain => Some(plain.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    #[test]
    fn every_way_to_write_a_string_is_followed() {
        for literal in [
            r#""a {{x}} b""#,
            r#"'a {{x}} b'"#,
            r#""\t\u00e4\x41 \"{{x}}\\""#,
            "'''\n  ä {{x}}\n'''",
            "\"\"\"\r\n\\\n   \\  \n\n ä\\U0001F600 {{x}}\\\n\"\"\"",
            r#""{{x}}""#,
        ] {
            let file = format!("{literal} # tail");
            let parsed = DeValue::parse(literal).unwrap();
            let decoded = parsed.get_ref().as_str().unwrap();
            let inner = decoded.find("{{x}}").unwrap();
            let found = in_file(&file, &(0..literal.len()), decoded, &(inner..inner + 5));
            assert_eq!(&file[found], "{{x}}", "{literal}");
        }
    }
}
