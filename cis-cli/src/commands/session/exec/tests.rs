//! What is printed of output that comes in pieces.

use super::*;

fn args(wait_for: Option<&str>) -> Args {
    Args {
        session: "s".into(),
        text: "echo ä".into(),
        wait_for: wait_for.map(|text| pattern(text).unwrap()),
        quiet: Duration::from_secs(1),
        timeout: None,
    }
}

fn reader(args: &Args) -> Reader<'_> {
    Reader {
        args,
        limit: Duration::from_secs(1),
        print: false,
        text: String::new(),
        undecoded: vec![],
        start: None,
        printed: 0,
        settled: false,
        searched: 0,
    }
}

#[test]
fn a_pattern_does_not_match_the_echo_and_characters_may_be_split() {
    let args = args(Some("^ä$"));
    let mut reader = reader(&args);
    let came = "echo ä\n1\nä\n".as_bytes();
    let mut matched_at = None;
    for (at, byte) in came.iter().enumerate() {
        reader.take(&[*byte]).unwrap();
        if reader.matches() && matched_at.is_none() {
            matched_at = Some(at);
        }
    }
    assert_eq!(reader.text, "echo ä\n1\nä\n");
    // With the second byte of the second ä, not before.
    assert_eq!(matched_at, Some(came.len() - 2));
}

#[test]
fn the_line_editors_empty_line_is_no_output() {
    let args = args(None);
    let mut reader = reader(&args);
    reader.take("echo ä\n".as_bytes()).unwrap();
    reader.take("\n\nä\n".as_bytes()).unwrap();
    assert_eq!(&reader.text[reader.start.unwrap()..], "\nä\n");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let args = args(None);
    let mut reader = reader(&args);
    reader.take(b"a\xffb\xe2\x82").unwrap();
    reader.take(b"\xac.").unwrap();
    assert_eq!(reader.text, "a\u{fffd}b€.");
}

#[test]
fn limits_are_kept() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut timeouts = cis_node::config::Settings::usual().timeouts;
    assert_eq!(time_limit(None, &timeouts).unwrap(), minutes(5));
    assert_eq!(time_limit(Some(minutes(30)), &timeouts).unwrap(), minutes(30));
    assert!(time_limit(Some(minutes(31)), &timeouts).is_err());
    timeouts.exec_max_ms = 60_000;
    assert_eq!(time_limit(None, &timeouts).unwrap(), minutes(1));
    assert!(pattern("(").is_err());
}

#[test]
fn a_text_of_several_lines_is_refused() {
    assert_eq!(one_line("make test"), Ok("make test".to_owned()));
    for text in ["a\nb", "a\r", "\n"] {
        assert!(one_line(text).unwrap_err().contains("one line"));
    }
}
