//! The file that a task writes its outputs to (`CIS_OUTPUT`): `name=value` lines, and
//! `name<<WORD` … `WORD` for values of several lines. Knows nothing of where the file lies.

use std::collections::BTreeMap;

use serde_json::Value;

use super::diagnose::{nearest, quoted};
use super::model::ValueType;
use super::value;

/// The longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The longest file, bytes. A reader needs no more than one byte beyond it.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Whether errors may show what stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They may: names and beginnings of lines.
    Shown,
    /// They may not: the file holds a secret, and a part of a line would not be known as one.
    Hidden,
}

impl Quotes {
    fn quoted(self, text: &str) -> String {
        match self {
            Self::Shown => quoted(text),
            Self::Hidden => "a text that is not shown, because the file holds a secret".to_owned(),
        }
    }

    /// The name of an output, with words around it; nothing if it may not be shown.
    fn of(self, name: &str) -> String {
        match self {
            Self::Shown => format!(" of `{name}`"),
            Self::Hidden => String::new(),
        }
    }
}

/// Reads the file's bytes. Outputs that are not declared are strings; of several assignments the last counts.
///
/// # Errors
/// The first thing that is wrong, with its line: not UTF-8, too long, not an assignment, not of the
/// declared type; or a declared output that is missing.
pub fn parse(
    bytes: &[u8],
    declared: &BTreeMap<String, ValueType>,
    quotes: Quotes,
) -> Result<BTreeMap<String, Value>, String> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(
            "CIS_OUTPUT is longer than 1 MiB: write large results to a file and give its path".to_owned()
        );
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_at(bytes, error.valid_up_to());
        format!("CIS_OUTPUT line {line} is not UTF-8: encode binary values, for example with base64")
    })?;
    let mut values = BTreeMap::new();
    for (name, (line, raw)) in assignments(text, quotes)? {
        let ty = declared.get(name).copied().unwrap_or(ValueType::String);
        let parsed = value::parse(&raw, ty).map_err(|why| {
            // Only a declared output can have another type: its name is the file's of the run.
            format!("CIS_OUTPUT line {line}: output `{name}` is declared as {}: {why}", ty.name())
        })?;
        values.insert(name.to_owned(), parsed);
    }
    for (name, ty) in declared {
        if !values.contains_key(name) {
            return Err(missing(name, *ty, &values, quotes));
        }
    }
    Ok(values)
}

fn missing(name: &str, ty: ValueType, written: &BTreeMap<String, Value>, quotes: Quotes) -> String {
    let mut text = format!("output `{name}` ({}) is declared, but was not written to CIS_OUTPUT", ty.name());
    let near = nearest(name, written.keys().map(String::as_str)).filter(|_| quotes == Quotes::Shown);
    if let Some(near) = near {
        text.push_str(&format!(" (`{near}` was)"));
    }
    text.push_str(&format!(": write it with  echo \"{name}=…\" >> \"$CIS_OUTPUT\""));
    text
}

/// Each name with its last value and the line of it, from 1.
fn assignments(text: &str, quotes: Quotes) -> Result<BTreeMap<&str, (usize, String)>, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.split_terminator('\n').enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Some((name, kind, rest)) = split(line) else {
            return Err(format!(
                "CIS_OUTPUT line {number}: expected name=value or name<<WORD, found {}",
                quotes.quoted(line)
            ));
        };
        if !is_output_name(name) {
            return Err(format!(
                "CIS_OUTPUT line {number}: {} is not a name: use letters, digits and `_`, no digit first, at most 64",
                quotes.quoted(name)
            ));
        }
        let value = match kind {
            Kind::Line => rest.to_owned(),
            Kind::Block => block((name, number), rest, &mut lines, quotes)?,
        };
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!(
                "CIS_OUTPUT line {number}: the value{} is longer than 64 KiB: write it to a file and give its path",
                quotes.of(name)
            ));
        }
        if value.contains('\0') {
            return Err(format!("CIS_OUTPUT line {number}: the value{} holds a NUL byte", quotes.of(name)));
        }
        found.insert(name, (number, value));
    }
    Ok(found)
}

enum Kind {
    Line,
    Block,
}

/// Whichever of `=` and `<<` comes first decides, so that values may hold the other.
fn split(line: &str) -> Option<(&str, Kind, &str)> {
    let equals = line.find('=');
    match (equals, line.find("<<")) {
        (Some(at), block) if block.is_none_or(|block| at < block) => {
            Some((&line[..at], Kind::Line, &line[at + 1..]))
        }
        (_, Some(at)) => Some((&line[..at], Kind::Block, &line[at + 2..])),
        _ => None,
    }
}

fn block<'a>(
    (name, number): (&str, usize),
    word: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    quotes: Quotes,
) -> Result<String, String> {
    let word = word.trim_ascii();
    if word.is_empty() {
        return Err(format!(
            "CIS_OUTPUT line {number}: `{}<<` wants the word that ends the value, such as EOF",
            if quotes == Quotes::Shown { name } else { "NAME" }
        ));
    }
    let mut value: Option<String> = None;
    for (_, line) in lines {
        if line.strip_suffix('\r').unwrap_or(line) == word {
            return Ok(value.unwrap_or_default());
        }
        match &mut value {
            None => value = Some(line.to_owned()),
            Some(value) => {
                value.push('\n');
                value.push_str(line);
            }
        }
    }
    Err(format!(
        "CIS_OUTPUT line {number}: the value{} does not end: no line is {}",
        quotes.of(name),
        quotes.quoted(word)
    ))
}

/// An assignment as it is appended to the file, whatever stands there before.
///
/// # Errors
/// The name is none, or the value is too long or holds a NUL byte.
pub fn assignment(name: &str, value: &str) -> Result<String, String> {
    if !is_output_name(name) {
        let name = quoted(name);
        return Err(format!("{name} is no name of an output: use letters, digits and `_`, no digit first"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!(
            "the value of `{name}` is longer than 64 KiB: write it to a file and give its path"
        ));
    }
    if value.contains('\0') {
        return Err(format!("the value of `{name}` holds a NUL byte"));
    }
    // A line before it may not have ended.
    if !value.contains('\n') {
        return Ok(format!("\n{name}={value}\n"));
    }
    let is_line = |word: &str| value.split('\n').any(|line| line.strip_suffix('\r').unwrap_or(line) == word);
    let word = (0_u32..).map(|number| format!("END{number}")).find(|word| !is_line(word)).unwrap_or_default();
    Ok(format!("\n{name}<<{word}\n{value}\n{word}\n"))
}

/// What may be the name of an output or a parameter: what an expression takes for one name.
pub(super) fn is_output_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit()
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn declared(list: &[(&str, ValueType)]) -> BTreeMap<String, ValueType> {
        list.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect()
    }

    fn error(text: &[u8], list: &[(&str, ValueType)]) -> String {
        parse(text, &declared(list), Quotes::Shown).unwrap_err()
    }

    proptest! {
        #[test]
        fn what_is_assigned_is_read_back(values in prop::collection::vec("(END[0-2]|[a-z<= \\r\\n\"])*", 1..4)) {
            let mut text = "before=1".to_owned();
            for (at, value) in values.iter().enumerate() {
                text.push_str(&assignment(&format!("v{at}"), value).unwrap());
            }
            let read = parse(text.as_bytes(), &BTreeMap::new(), Quotes::Shown).unwrap();
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(&read[&format!("v{at}")], &json!(value));
            }
            prop_assert_eq!(&read["before"], &json!("1"));
        }
    }

    #[test]
    fn what_is_no_output_is_not_assigned() {
        for name in ["", "1a", "a-b", "a=b", "a\n"] {
            assert!(assignment(name, "x").is_err(), "{name:?}");
        }
        assert!(assignment("a", "\0").is_err());
        assert!(assignment("a", &"x".repeat(MAX_VALUE_BYTES + 1)).is_err());
    }

    #[test]
    fn lines_blocks_and_types_are_read() {
        let text = b"failed=  3 \n\nnote<<EOF\nfirst\n  a=b <<c\n\nlast\nEOF\nok=true\nempty=\nurl=a<<b=c\nfailed=4\nj={\"a\":[1]}\nx=1.5";
        let types = [
            ("failed", ValueType::Integer),
            ("ok", ValueType::Boolean),
            ("j", ValueType::Json),
            ("x", ValueType::Number),
        ];
        let values = parse(text, &declared(&types), Quotes::Shown).unwrap();
        let expected = json!({
            "failed": 4, "note": "first\n  a=b <<c\n\nlast", "ok": true, "empty": "", "url": "a<<b=c",
            "j": {"a": [1]}, "x": 1.5,
        });
        assert_eq!(json!(values), expected);
    }

    #[test]
    fn a_block_may_be_empty_or_one_empty_line() {
        let values = parse(b"a<<E\nE\nb<<E\n\n\nE\n", &BTreeMap::new(), Quotes::Shown).unwrap();
        assert_eq!(json!(values), json!({ "a": "", "b": "\n" }));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        use ValueType::{Boolean, Integer, Number, String};
        let said = [
            error(b"a=1\nfial=2\n", &[("fail", Integer)]),
            error(b"fail=two\n", &[("fail", Integer)]),
            error(b"fail=1.5\n", &[("fail", Integer)]),
            error(b"x=inf\n", &[("x", Number)]),
            error(b"ok=yes\n", &[("ok", Boolean)]),
            error(b"just words\n", &[]),
            error(b"two words=1\n", &[]),
            error(b"a<<EOF\nx\n", &[]),
            error(b"a<<\nx\n", &[]),
            error(b"a=1\nb=\xff\n", &[("b", String)]),
            error(b"b=\0\n", &[]),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        output `fail` (integer) is declared, but was not written to CIS_OUTPUT (`fial` was): write it with  echo "fail=…" >> "$CIS_OUTPUT"
        CIS_OUTPUT line 1: output `fail` is declared as integer: expected an integer, such as 3 (64 bits, no fraction)
        CIS_OUTPUT line 1: output `fail` is declared as integer: expected an integer, such as 3 (64 bits, no fraction)
        CIS_OUTPUT line 1: output `x` is declared as number: expected a number, such as 0.5
        CIS_OUTPUT line 1: output `ok` is declared as boolean: expected true or false
        CIS_OUTPUT line 1: expected name=value or name<<WORD, found `just words`
        CIS_OUTPUT line 1: `two words` is not a name: use letters, digits and `_`, no digit first, at most 64
        CIS_OUTPUT line 1: the value of `a` does not end: no line is `EOF`
        CIS_OUTPUT line 1: `a<<` wants the word that ends the value, such as EOF
        CIS_OUTPUT line 2 is not UTF-8: encode binary values, for example with base64
        CIS_OUTPUT line 1: the value of `b` holds a NUL byte
        "#);
    }

    /// A part of a secret would not be known as one.
    #[test]
    fn mistakes_in_a_file_with_a_secret_show_nothing_of_it() {
        let long = format!("secret{}", "x".repeat(MAX_VALUE_BYTES + 1));
        for text in [
            "secret words",
            "secret words=1",
            "1secret=1",
            "secret<<EOF\nx",
            "a<<secret\nx",
            "secret<<\nx",
            "secret=\0",
            &format!("secret={long}"),
            "secre=1",
        ] {
            let said = parse(text.as_bytes(), &declared(&[("other", ValueType::Integer)]), Quotes::Hidden);
            let said = said.unwrap_err();
            assert!(
                !said.contains("secre ") && !said.contains("`secre") && !said.contains("secretx"),
                "{said}"
            );
            assert!(said.contains("CIS_OUTPUT"), "{said}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let longest = format!("a={}\n", "x".repeat(MAX_VALUE_BYTES));
        assert!(parse(longest.as_bytes(), &BTreeMap::new(), Quotes::Shown).is_ok());
        let over = format!("a={}\n", "x".repeat(MAX_VALUE_BYTES + 1));
        assert!(error(over.as_bytes(), &[]).contains("longer than 64 KiB"));
        let file = "a=1\n".repeat(MAX_FILE_BYTES / 4 + 1);
        assert!(error(file.as_bytes(), &[]).contains("longer than 1 MiB"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &declared(&[("a", ValueType::Integer)]), Quotes::Shown);
        }

        #[test]
        fn any_text_comes_back(value in "\\PC{0,20}(\n\\PC{0,20}){0,4}") {
            let text = format!("v<<CIS_END_OF_VALUE\n{value}\nCIS_END_OF_VALUE\n");
            let values = parse(text.as_bytes(), &BTreeMap::new(), Quotes::Shown).unwrap();
            prop_assert_eq!(&values["v"], &Value::String(value));
        }
    }
}
