use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(secrets.iter().map(|secret| (*secret).to_owned())).unwrap()
}

fn stream(redactor: &Redactor, mask: Mask, chunks: &[&[u8]]) -> Vec<u8> {
    let mut stream = RedactStream::new(Arc::new(redactor.clone()), mask);
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push_into(chunk, &mut out);
        assert!(stream.held() < redactor.longest().max(1));
    }
    stream.finish(&mut out);
    out
}

#[test]
fn a_secret_is_replaced_in_each_of_its_forms() {
    let r = redactor(&["hunter2/x y\"z"]);
    for (given, want) in [
        ("a hunter2/x y\"z b", "a *** b"),
        (r#"{"k":"hunter2/x y\"z"}"#, r#"{"k":"***"}"#),
        ("?q=hunter2%2Fx%20y%22z&", "?q=***&"),
        ("?q=hunter2%2fx%20y%22z&", "?q=***&"),
        ("?q=hunter2%2Fx+y%22z&", "?q=***&"),
        ("aHVudGVyMi94IHkieg==", "***"),
        ("aHVudGVyMi94IHkiei4=", "***i4="),
        (r#"{"k":"hunter2\/x y\u0022z"}"#, r#"{"k":"***"}"#),
        ("?q=hunter2/x%20y%22z&", "?q=***&"),
        ("hunter2/x y", "hunter2/x y"),
        ("hunter2/x y\"zhunter2/x y\"z", "******"),
    ] {
        assert_eq!(r.redact(given), want, "{given}");
    }
}

#[test]
fn lines_of_a_secret_are_secret_too() {
    let r = redactor(&["-----BEGIN-----\nc2VjcmV0\n}\n"]);
    assert_eq!(r.redact("x -----BEGIN-----\r\nc2VjcmV0\r\n}"), "x ***");
    assert_eq!(r.redact("key: c2VjcmV0 } end"), "key: *** } end");
}

#[test]
fn values_that_cannot_be_secrets_are_refused_without_being_shown() {
    let error = Redactor::new(["good-one".to_owned(), " abc\n".to_owned()]).unwrap_err();
    assert_eq!(error, RedactError::TooShort { index: 2, bytes: 3 });
    assert!(!error.to_string().contains("abc"));
    let error = Redactor::new(["x".repeat(SECRET_BYTES_MAX + 1)]).unwrap_err();
    assert!(matches!(error, RedactError::TooLong { index: 1, .. }));
    let long = |n: usize| format!("{n}{}", "y".repeat(SECRET_BYTES_MAX - 1));
    let many: Vec<String> = (0..5).map(long).collect();
    assert_eq!(Redactor::check(many.iter().map(String::as_str)), Err(RedactError::TooMany));
    assert_eq!(Redactor::new((0..9).map(long)).unwrap_err(), RedactError::TooMany);
    assert!(!format!("{:?}", redactor(&["hunter2"])).contains("hunter"));
}

#[test]
fn overlapping_secrets_leave_nothing_of_each_other() {
    let r = redactor(&["abcdef", "defghi", "bcde"]);
    assert_eq!(r.redact("xabcdefghix"), "x***x");
    assert_eq!(r.redact("xbcdefghix"), "x***x");
    assert_eq!(r.redact("abcdxabcdex"), "abcdxa***x");
}

#[test]
fn json_is_redacted_in_keys_strings_and_numbers() {
    let mut value = json!({"hunter2": [1, "a hunter2"], "n": 12_345_678, "ok": true});
    redactor(&["hunter2", "12345678"]).redact_json(&mut value);
    assert_eq!(value, json!({"***": [1, "a ***"], "n": "***", "ok": true}));
}

#[test]
fn a_mask_of_the_same_width_counts_characters() {
    let r = redactor(&["pässwörd"]);
    assert_eq!(stream(&r, Mask::SameWidth, &[b"x ", "pässwörd".as_bytes(), b" y"]), b"x ******** y");
}

#[test]
fn an_echo_is_seen_in_time_and_never_tells_the_secret() {
    let mut stream = RedactStream::new(Arc::new(redactor(&["hunter2!"])), Mask::Stars);
    let mut seen = Vec::new();
    for byte in b"hunter2!" {
        stream.push_into(&[*byte], &mut seen);
        stream.flush_idle(&mut seen);
        stream.flush_idle(&mut seen);
        assert!(seen.len() <= 2 || seen == b"hu***");
    }
    assert_eq!(seen, b"hu***");
    seen.clear();
    for byte in b" hungry" {
        stream.push_into(&[*byte], &mut seen);
        stream.flush_idle(&mut seen);
    }
    assert_eq!(seen, b" hungry");
}

#[test]
fn a_stream_that_starts_inside_a_secret_hides_its_rest() {
    let mut stream = RedactStream::new(Arc::new(redactor(&["hunter2"])), Mask::Stars);
    stream.prime(b"password: hunt");
    let mut out = stream.push(b"er2 and hunter2.");
    stream.finish(&mut out);
    assert_eq!(out, b"*** and ***.");
}

/// Few letters, so that secrets overlap each other and themselves.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{4,7}", "[a-cé]{4,9}", "[a-z ]{6,12}".prop_filter("blank", |s| s.trim().len() >= 4)]
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_and_no_secret(
        secrets in prop::collection::vec(secret(), 1..5),
        parts in prop::collection::vec(prop_oneof![
            "[abcé]{0,6}".prop_map(|s| (s, None)),
            any::<prop::sample::Index>().prop_map(|which| (String::new(), Some(which))),
        ], 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        wide in any::<bool>(),
    ) {
        let r = Redactor::new(secrets.clone()).unwrap();
        let text: String = parts
            .iter()
            .map(|(text, which)| which.as_ref().map_or(text.as_str(), |w| w.get(&secrets).trim()))
            .collect();
        let mask = if wide { Mask::SameWidth } else { Mask::Stars };
        let whole = stream(&r, mask, &[text.as_bytes()]);
        prop_assert_eq!(&stream(&r, mask, &cut(text.as_bytes(), &cuts)), &whole);
        let whole = String::from_utf8(whole).unwrap();
        for secret in &secrets {
            prop_assert!(!whole.contains(secret.trim()), "{} in {}", secret, whole);
        }
        if wide {
            prop_assert_eq!(whole.chars().count(), text.chars().count());
        } else {
            prop_assert_eq!(&r.redact(&text), &whole);
        }
        // The spans are what the stream replaces.
        let mut rest = text.as_str();
        let mut by_spans = String::new();
        let mut shift = 0;
        for span in r.spans(&text).found {
            by_spans += &rest[..span.start - shift];
            let hidden = if wide { "*".repeat(text[span.clone()].chars().count()) } else { STARS.to_owned() };
            by_spans += hidden.as_str();
            rest = &text[span.end..];
            shift = span.end;
        }
        by_spans += rest;
        prop_assert_eq!(by_spans, whole);
    }

    #[test]
    fn idle_flushes_never_complete_a_secret(
        secrets in prop::collection::vec(secret(), 1..4),
        text in "[abcé]{0,40}",
    ) {
        let r = Arc::new(Redactor::new(secrets.clone()).unwrap());
        let mut stream = RedactStream::new(r, Mask::Stars);
        let mut out = Vec::new();
        for byte in text.bytes() {
            stream.push_into(&[byte], &mut out);
            stream.flush_idle(&mut out);
        }
        stream.finish(&mut out);
        let out = String::from_utf8_lossy(&out).into_owned();
        for secret in &secrets {
            prop_assert!(!out.contains(secret.trim()), "{} in {}", secret, out);
        }
    }

    #[test]
    fn without_secrets_every_byte_passes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(stream(&Redactor::default(), Mask::Stars, &[&bytes]), bytes);
    }
}
