//! Names of keys, as tmux's users know them (`C-c`, `M-x`, `Down`, `Enter`), and the bytes that a
//! terminal sends for them.

use cis_core::text::control_byte;

use crate::error::CliError;

/// Keys without a letter of their own, and their bytes: xterm's, in normal cursor mode. The node converts them to the mode of the
/// session's terminal.
const NAMED: [(&str, &[u8]); 33] = [
    ("Enter", b"\r"),
    ("Escape", b"\x1b"),
    ("Esc", b"\x1b"),
    ("Tab", b"\t"),
    ("BTab", b"\x1b[Z"),
    ("Space", b" "),
    ("BSpace", b"\x7f"),
    ("Backspace", b"\x7f"),
    ("Up", b"\x1b[A"),
    ("Down", b"\x1b[B"),
    ("Right", b"\x1b[C"),
    ("Left", b"\x1b[D"),
    ("Home", b"\x1b[H"),
    ("End", b"\x1b[F"),
    ("PageUp", b"\x1b[5~"),
    ("PPage", b"\x1b[5~"),
    ("PageDown", b"\x1b[6~"),
    ("NPage", b"\x1b[6~"),
    ("Insert", b"\x1b[2~"),
    ("Delete", b"\x1b[3~"),
    ("DC", b"\x1b[3~"),
    ("F1", b"\x1bOP"),
    ("F2", b"\x1bOQ"),
    ("F3", b"\x1bOR"),
    ("F4", b"\x1bOS"),
    ("F5", b"\x1b[15~"),
    ("F6", b"\x1b[17~"),
    ("F7", b"\x1b[18~"),
    ("F8", b"\x1b[19~"),
    ("F9", b"\x1b[20~"),
    ("F10", b"\x1b[21~"),
    ("F11", b"\x1b[23~"),
    ("F12", b"\x1b[24~"),
];

/// The bytes of keys written with spaces between them.
pub(crate) fn parse(keys: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    for key in keys.split_whitespace() {
        one(key, &mut bytes)?;
    }
    if bytes.is_empty() {
        return Err(CliError::bad_input("no keys are given").hint("for example: --keys \"C-c Down Enter\""));
    }
    Ok(bytes)
}

fn one(key: &str, out: &mut Vec<u8>) -> Result<(), CliError> {
    let mut rest = key;
    let (mut ctrl, mut meta, mut shift) = (false, false, false);
    while let Some((prefix, name)) = rest.split_at_checked(2).filter(|(_, name)| !name.is_empty()) {
        match prefix {
            "C-" | "c-" => ctrl = true,
            "M-" | "m-" | "A-" => meta = true,
            "S-" => shift = true,
            _ => break,
        }
        rest = name;
    }
    if let Some((_, bytes)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(rest)) {
        return named(key, bytes, ctrl, meta, shift, out);
    }
    let mut chars = rest.chars();
    let (Some(c), None) = (chars.next(), chars.next()) else { return Err(unknown(key, rest)) };
    if meta {
        out.push(0x1b);
    }
    match (ctrl, c) {
        (true, c) => out.push(control_byte(c).ok_or_else(|| unknown(key, rest))?),
        (false, c) => {
            let upper = c.to_uppercase().next().filter(|_| shift).unwrap_or(c);
            out.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(())
}

/// A named key with modifiers: xterm's `CSI 1 ; m X` and `CSI n ; m ~`.
fn named(
    key: &str,
    bytes: &[u8],
    ctrl: bool,
    meta: bool,
    shift: bool,
    out: &mut Vec<u8>,
) -> Result<(), CliError> {
    let modifier = 1 + u8::from(shift) + 2 * u8::from(meta) + 4 * u8::from(ctrl);
    match bytes {
        _ if modifier == 1 => out.extend_from_slice(bytes),
        b"\t" if modifier == 2 => out.extend_from_slice(b"\x1b[Z"),
        b" " if ctrl && !meta => out.push(0),
        [0x1b, b'[', number @ .., b'~'] => {
            out.extend_from_slice(b"\x1b[");
            out.extend_from_slice(number);
            out.extend_from_slice(format!(";{modifier}~").as_bytes());
        }
        [0x1b, b'[' | b'O', letter] if *letter != b'Z' => {
            out.extend_from_slice(format!("\x1b[1;{modifier}").as_bytes());
            out.push(*letter);
        }
        _ if modifier == 3 => {
            out.push(0x1b);
            out.extend_from_slice(bytes);
        }
        _ => {
            return Err(CliError::bad_input(format!("no terminal has a key sequence for `{key}`")));
        }
    }
    Ok(())
}

fn unknown(key: &str, name: &str) -> CliError {
    let near = NAMED.iter().map(|(known, _)| *known).find(|known| {
        let (known, name) = (known.to_ascii_lowercase(), name.to_ascii_lowercase());
        name.len() > 1 && (known.starts_with(&name) || name.starts_with(&known))
    });
    let error = CliError::bad_input(format!("unknown key `{key}`"));
    match near {
        Some(near) => error.hint(format!("did you mean `{near}`? Text is typed with --text")),
        None => error.hint("keys are single characters, C-x, M-x, and names such as Enter, Down, F1; text is typed with --text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_what_a_terminal_sends() {
        let cases: [(&str, &[u8]); 16] = [
            ("C-c Down Enter", b"\x03\x1b[B\r"),
            ("y", b"y"),
            ("ä 1", "ä1".as_bytes()),
            ("enter ESCAPE", b"\r\x1b"),
            ("C-\\ d", b"\x1cd"),
            ("C-?", b"\x7f"),
            ("C-Space", b"\0"),
            ("M-x", b"\x1bx"),
            ("C-M-a", b"\x1b\x01"),
            ("S-a", b"A"),
            ("S-Tab", b"\x1b[Z"),
            ("C-Left", b"\x1b[1;5D"),
            ("S-F1", b"\x1b[1;2P"),
            ("M-PageUp", b"\x1b[5;3~"),
            ("M-Enter", b"\x1b\r"),
            ("-", b"-"),
        ];
        for (keys, bytes) in cases {
            assert_eq!(parse(keys).unwrap(), bytes, "{keys}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_suggestion() {
        for (keys, suggestion) in [("Ente", "`Enter`"), ("pageupp", "`PageUp`"), ("hello", "--text")] {
            let CliError::Problem(problem) = parse(keys).unwrap_err() else { panic!() };
            assert!(problem.hint.unwrap().contains(suggestion), "{keys}");
        }
        for bad in ["", "  ", "C-", "C-ä", "C-Enter", "Ctrl-c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
