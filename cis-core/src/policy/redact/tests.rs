use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::split_at;

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
fn a_secret_is_replaced_whichever_of_its_bytes_are_percent_encoded() {
    let r = redactor(&["SEC=r/e+t&\u{e9}", "-----BEGIN-----\nc2VjcmV0/+\n", "50%25 off"]);
    for (given, want) in [
        ("?q=%53%45%43%3D%72%2F%65%2B%74%26%C3%A9&", "?q=***&"),
        ("?q=%53%45%43%3d%72%2f%65%2b%74%26%c3%a9&", "?q=***&"),
        ("?q=SEC=r%2Fe+t&%c3%A9&", "?q=***&"),
        ("?q=%53EC=r/e+t&\u{e9}&", "?q=***&"),
        ("%%53EC=r/e+t&\u{e9}%", "%***%"),
        ("%5%53EC=r/e+t&\u{e9}%5", "%5***%5"),
        ("SEC=SEC=r%2Fe+t&\u{e9}", "SEC=***"),
        ("SEC=r/%53EC=r/e+t&\u{e9}", "SEC=r/***"),
        // A line of a secret, and other forms: base64 of it, and a JSON string.
        ("c2VjcmV0%2F%2b", "***"),
        ("U0VDPXIvZSt0JsOp%3d", "***%3d"),
        ("key%3D50%2525%20off.", "key%3D***."),
        ("SEC%3Dr%2Fe%2Bt%26 %53%45%43%3", "SEC%3Dr%2Fe%2Bt%26 %53%45%43%3"),
        ("100%, %s %20 %zz %5 %", "100%, %s %20 %zz %5 %"),
    ] {
        assert_eq!(r.redact(given), want, "{given}");
    }
    // Somebody who waits for an echo sees no more of an escape than of the byte.
    let mut live = RedactStream::new(Arc::new(redactor(&["SEC=r/e+t"])), Mask::Stars);
    for (typed, want) in
        [("%", "%"), ("5", "5"), ("3", "3"), ("%4", ""), ("5C", "%45"), ("=r/e%2Bt.", "***.")]
    {
        let mut seen = live.push(typed.as_bytes());
        live.flush_idle(u64::MAX, &mut seen);
        assert_eq!(String::from_utf8(seen).unwrap(), want, "{typed}");
    }
}

#[test]
fn long_secrets_and_many_percent_signs_take_no_long_time() {
    // Quadratic work would take minutes.
    let value = "a".repeat(SECRET_BYTES_MAX);
    let r = redactor(&[&value]);
    let encoded = "%61".repeat(SECRET_BYTES_MAX);
    // Without the texts, which are long, in the message.
    assert!(r.redact(&format!("b{encoded}b")) == "b***b");
    let text = format!("{}b", &encoded[3..]).repeat(4);
    assert!(r.redact(&text) == text);
    let text = "%".repeat(1 << 20);
    assert!(r.redact(&text) == text);
}

#[test]
fn lines_of_a_secret_are_secret_too() {
    let r = redactor(&["-----BEGIN-----\nc2VjcmV0\n}\n"]);
    assert_eq!(r.redact("x -----BEGIN-----\r\nc2VjcmV0\r\n}"), "x ***");
    assert_eq!(r.redact("key: c2VjcmV0 } end"), "key: *** } end");
}

/// RFC 4648, without padding.
fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let letter = |six: &[u8]| {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        char::from(LETTERS[usize::from_str_radix(&six, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(letter).collect()
}

/// As encoders wrap it.
fn wrapped(text: &str, columns: usize, line_end: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(line_end)
}

#[test]
fn wrapped_base64_and_hex_are_found_wherever_the_lines_break() {
    let value: String = (0..100u8).map(|n| char::from(b'!' + n % 90)).collect();
    let r = redactor(&[&value]);
    for before in 0..80 {
        let text = format!("{}{value} and more of it", "u".repeat(before));
        for (columns, line_end) in [(76, "\n"), (64, "\r\n"), (60, "\n")] {
            for encoded in
                [base64(&text), base64(&text).replace('+', "-").replace('/', "_"), hex::encode(&text)]
            {
                let hidden = r.redact(&wrapped(&encoded, columns, line_end)).replace(['\r', '\n'], "");
                let (begin, end) = hidden.split_once("***").unwrap();
                let rest = encoded.len() - begin.len() - end.len();
                assert!(encoded.starts_with(begin) && encoded.ends_with(end), "{hidden}");
                // What a character of base64 shares with text beside the value is not the value's alone.
                assert!(rest + 8 >= value.len() * encoded.len() / text.len(), "{rest} of {encoded}");
            }
        }
    }
    let r = redactor(&["hunter2"]);
    assert_eq!(r.redact("aHVud\r\nGVyMg=="), "***");
    let mut live = RedactStream::new(Arc::new(r.clone()), Mask::Stars);
    let mut seen = live.push(b"a line ends with aH\r\n");
    live.flush_idle(u64::MAX, &mut seen);
    assert_eq!(seen, b"a line ends with aH\r\n", "its end is seen in time");
    assert_eq!(live.push(b"VudGVyMg== "), b"*** ");
    assert_eq!(r.redact("aHVud\n\n\nGVyMg=="), "aHVud\n\n\nGVyMg==", "there are lines between");
}

#[test]
fn a_mask_of_the_same_width_leaves_lines_lines() {
    let r = redactor(&["hunter2"]);
    let hidden = stream(&r, Mask::SameWidth, &[b"68756e\r", b"\n74657232\n"]);
    assert_eq!(hidden, b"******\r\n********\n");
}

#[test]
fn values_and_their_lines_are_found_and_common_forms_first_however_long_all_are() {
    // Each encoder writes it in another way, and longer.
    let line = |n: usize| format!("{n:04}'\"+/<é>&`~!@#$%^*()\n");
    let long = |n: usize| (0..600).map(|at| line(n * 1000 + at)).collect::<String>();
    let token = "hunter2/x y\"z";
    let values: Vec<String> = (0..16).map(long).chain([token.to_owned()]).collect();
    let r = Redactor::new(values.clone()).unwrap();
    assert!(r.nodes() <= 3 * NODES_MAX, "{}", r.nodes());
    for value in &values {
        assert_eq!(r.redact(value), if value == token { "***" } else { "***\n" });
    }
    assert_eq!(r.redact(line(7123).trim()), "***");
    assert_eq!(r.redact("?q=hunter2%2fx+y%22z&"), "?q=***&", "a short value has all of its forms");
    let last = hex::encode(values[15].trim());
    assert_eq!(r.redact(&last), last, "there is no room");
    let one = Redactor::new([values[0].clone()]).unwrap();
    assert_eq!(one.redact(&hex::encode(values[0].trim())), "***");
    assert!(one.nodes() <= 2 * NODES_MAX, "{}", one.nodes());
}

#[test]
fn a_stream_goes_on_with_more_secrets_than_it_began_with() {
    let old = Arc::new(redactor(&["hunter2"]));
    let new = old.with(&Arc::new(redactor(&["made-up-key"])));
    let mut stream = ChangingStream::new(Arc::clone(&old), Mask::Stars);
    let mut out = Vec::new();
    stream.push_into(b"made-up-key made-u", &mut out);
    stream.change(&new, &mut out);
    stream.push_into(b"p-key hunt", &mut out);
    stream.change(&old, &mut out);
    stream.change(&new, &mut out);
    stream.push_into(b"er2 and made-", &mut out);
    stream.finish(&mut out);
    stream.push_into(b"up-key made-up-key", &mut out);
    stream.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "made-up-key made-u*** *** and ma***up-key ***");
}

#[test]
fn values_that_cannot_be_secrets_are_refused_without_being_shown() {
    let error = Redactor::new(["good-one".to_owned(), " abc\n".to_owned()]).unwrap_err();
    assert_eq!(error, RedactError::TooShort { index: 2, bytes: 3 });
    assert!(!error.to_string().contains("abc"));
    for (value, bytes) in [("a\tb1", Some(3)), ("ab\u{1}\u{301}", Some(2)), ("a b c", None), ("a\tb12", None)]
    {
        let error = Redactor::check([value]).err();
        assert_eq!(error, bytes.map(|bytes| RedactError::TooShort { index: 1, bytes }), "{value:?}");
    }
    let error = Redactor::new(["x".repeat(SECRET_BYTES_MAX + 1)]).unwrap_err();
    assert!(matches!(error, RedactError::TooLong { index: 1, .. }));
    let long = |n: u8| format!("{}{}", char::from(b'a' + n), "y".repeat(SECRET_BYTES_MAX - 1));
    let many: Vec<String> = (0..5).map(long).collect();
    let most = SECRETS_BYTES_MAX;
    assert_eq!(Redactor::check(many.iter().map(String::as_str)), Err(RedactError::TooMany { most }));
    assert_eq!(Redactor::check_run(many.iter().map(String::as_str)), Ok(()));
    let most = RUN_SECRETS_BYTES_MAX;
    assert_eq!(Redactor::new((0..17).map(long)).unwrap_err(), RedactError::TooMany { most });
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
fn invisible_characters_hide_no_secret_in_a_text() {
    let r = redactor(&["hunter2/\u{e9}!", "two\u{200b}parts"]);
    let all = ('\0'..=char::MAX).filter(|c| crate::text::is_invisible(*c));
    for c in all {
        assert_eq!(
            r.redact(&format!("a{c} hun{c}ter2{c}{c}/\u{e9}{c}! b{c}")),
            format!("a{c} ***{c}{c}{c}{c} b{c}")
        );
    }
    for (given, want) in [
        ("\u{200b}", "\u{200b}"),
        ("hun\u{200b}ter", "hun\u{200b}ter"),
        ("hun\u{ad}ter2%2F\u{fe0f}%C3%A9%21", "***\u{ad}\u{fe0f}"),
        ("two\u{200b}parts", "***"),
        ("twoparts t\u{2060}wo\u{200b}parts", "*** ***\u{2060}\u{200b}"),
        ("hunter2/\u{e9}! hun\u{e0041}ter2/\u{e9}!", "*** ***\u{e0041}"),
        ("hun\u{301}ter2/\u{e9}!", "hun\u{301}ter2/\u{e9}!"),
    ] {
        assert_eq!(r.redact(given), want, "{given:?}");
    }
    let mut value = json!({ "hunt\u{ad}er2/\u{e9}!": ["hunt\u{ad}er2/\u{e9}!"] });
    r.redact_json(&mut value);
    assert_eq!(value, json!({ "***\u{ad}": ["***\u{ad}"] }));
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
        stream.flush_idle(u64::MAX, &mut seen);
        stream.flush_idle(u64::MAX, &mut seen);
        assert!(seen.len() <= 2 || seen == b"hu***");
    }
    assert_eq!(seen, b"hu***");
    seen.clear();
    for byte in b" hungry" {
        stream.push_into(&[*byte], &mut seen);
        stream.flush_idle(u64::MAX, &mut seen);
    }
    assert_eq!(seen, b" hungry");
    seen.clear();
    for byte in b" hunter2!" {
        stream.push_into(&[*byte], &mut seen);
        stream.flush_idle(1, &mut seen);
        assert!(seen.len() <= 2 || seen == b" h***");
    }
    assert_eq!(seen, b" h***");
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

#[test]
fn where_a_stream_is_cut_no_more_of_a_secret_is_shown_than_may_be() {
    let r = redactor(&["correct horse battery"]);
    for (text, want) in [
        ("a cor", "a cor"),
        ("a corr", "a cor***"),
        ("a correct horse batter", "a cor***"),
        ("a correct horse battery", "a ***"),
        ("Y29ycmVjdCBo\r\n", "Y29***\r\n"),
        ("Y29\r\n", "Y29\r\n"),
    ] {
        assert_eq!(String::from_utf8(stream(&r, Mask::Stars, &[text.as_bytes()])).unwrap(), want, "{text:?}");
        assert_eq!(r.redact(text), if text.ends_with('y') { want } else { text }, "a text is complete");
    }
    assert_eq!(stream(&r, Mask::SameWidth, &[b"a corr"]), b"a cor*");
}

proptest! {
    #[test]
    fn a_secret_is_found_whichever_bytes_are_percent_encoded_and_wherever_it_is_cut(
        secret in "[a-cé+/= ]{4,12}",
        how in prop::collection::vec(0..3u8, 24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        more in any::<bool>(),
    ) {
        let secret = secret.trim();
        prop_assume!(secret.len() >= SECRET_BYTES_MIN);
        let mut r = redactor(&[secret]);
        if more {
            r = (*Arc::new(redactor(&["bcab", "/é=/é="])).with(&Arc::new(r))).clone();
        }
        let mut text = b"x".to_vec();
        for (byte, how) in secret.bytes().zip(&how) {
            match how {
                0 => text.push(byte),
                1 => text.extend(format!("%{byte:02X}").bytes()),
                _ => text.extend(format!("%{byte:02x}").bytes()),
            }
        }
        text.push(b'y');
        let hidden = stream(&r, Mask::Stars, &split_at(&text, &cuts));
        prop_assert_eq!(String::from_utf8_lossy(&hidden), "x***y");
    }

    #[test]
    fn a_stream_that_is_left_and_taken_up_at_what_it_held_back_gives_the_same(
        secret in "[ab]{4,7}",
        text in "[abc]{0,60}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let r = Arc::new(redactor(&[&secret]));
        let whole = stream(&r, Mask::Stars, &[text.as_bytes()]);
        let (mut shown, mut at) = (Vec::new(), 0);
        let mut to: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        to.sort_unstable();
        for to in to {
            let mut part = RedactStream::new(Arc::clone(&r), Mask::Stars);
            part.prime(&text.as_bytes()[..at]);
            part.prime(b"");
            part.push_into(&text.as_bytes()[at.min(to)..to], &mut shown);
            part.prime(b"");
            at = at.max(to) - part.held();
        }
        let mut last = RedactStream::new(r, Mask::Stars);
        last.prime(&text.as_bytes()[..at]);
        last.push_into(&text.as_bytes()[at..], &mut shown);
        last.finish(&mut shown);
        prop_assert_eq!(String::from_utf8(shown), String::from_utf8(whole));
    }

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
            .chain(["|"])
            .collect();
        let mask = if wide { Mask::SameWidth } else { Mask::Stars };
        let whole = stream(&r, mask, &[text.as_bytes()]);
        prop_assert_eq!(&stream(&r, mask, &split_at(text.as_bytes(), &cuts)), &whole);
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
        for span in r.spans(&text) {
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
    fn two_sets_find_what_one_set_of_all_finds(
        one in prop::collection::vec(secret(), 1..4),
        two in prop::collection::vec(secret(), 1..4),
        // Without line ends: where one set has a wrapped and an unwrapped form with the same beginning, it finds more.
        text in prop::collection::vec("[abcé ]{0,9}", 0..8),
    ) {
        let all = Arc::new(Redactor::new(one.iter().chain(&two).cloned()).unwrap());
        let both = Arc::new(Redactor::new(one.clone()).unwrap()).with(&Arc::new(Redactor::new(two.clone()).unwrap()));
        let parts: Vec<&str> = text.iter().flat_map(|part| [part.as_str(), one[0].trim(), two[0].trim()]).collect();
        let text = parts.concat();
        prop_assert_eq!(both.spans(&text), all.spans(&text));
        let end = [text.len()];
        prop_assert_eq!(both.begun_before(&text, &end), all.begun_before(&text, &end));
        let pieces: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        prop_assert_eq!(stream(&both, Mask::Stars, &pieces), stream(&all, Mask::Stars, &pieces));
        let [mut by_both, mut by_all] = [both, all].map(|r| RedactStream::new(r, Mask::Stars));
        for piece in pieces {
            let (mut shown, mut wanted) = (by_both.push(piece), by_all.push(piece));
            by_both.flush_idle(u64::MAX, &mut shown);
            by_all.flush_idle(u64::MAX, &mut wanted);
            prop_assert_eq!(shown, wanted);
        }
    }

    #[test]
    fn wrapped_secrets_are_found_however_the_stream_is_split(
        before in 0..90usize,
        columns in 32..80usize,
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        as_hex in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let secret = "correct horse battery staple, and a few words more than fit into a line of it";
        let r = redactor(&[secret]);
        let text = format!("{}{secret}", "x".repeat(before));
        let encoded = if as_hex { hex::encode(&text) } else { base64(&text) };
        let text = format!("a line\r\nof{line_end}text{line_end}{}{line_end}", wrapped(&encoded, columns, line_end));
        let whole = stream(&r, Mask::Stars, &[text.as_bytes()]);
        prop_assert_eq!(&stream(&r, Mask::Stars, &split_at(text.as_bytes(), &cuts)), &whole);
        let both = redactor(&["another one"]);
        let both = Arc::new(both).with(&Arc::new(r));
        prop_assert_eq!(&stream(&both, Mask::Stars, &split_at(text.as_bytes(), &cuts)), &whole);
        let whole = String::from_utf8(whole).unwrap();
        prop_assert!(whole.ends_with(&format!("***{line_end}")), "{}", whole);
        prop_assert!(whole.len() <= text.len() - secret.len(), "{}", whole);
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
            stream.flush_idle(u64::MAX, &mut out);
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

#[test]
fn an_ordinary_text_has_no_beginning_and_no_end_of_a_secret() {
    let one = Arc::new(redactor(&["correct-horse-battery-staple"]));
    let both = one.with(&Arc::new(redactor(&["hunter2-hunter2"])));
    let text = "staples cost 2 each\ncorrected";
    let positions: Vec<usize> = (0..=text.len()).collect();
    let [begun, ending] = [both.begun_before(text, &positions), both.ending_after(text, &positions)];
    assert_eq!(ending[0], "staple".len(), "row 1");
    assert_eq!(*begun.last().unwrap(), 0, "`corrected` is something else");
    assert_eq!(begun[text.len() - "ed".len()], "correct".len());
    assert_eq!(ending[1..].iter().filter(|end| **end > 0).count(), 2, "taple, aple: {ending:?}");
    assert_eq!(both.ending_after("ter2-hunter2!", &[0]), ["ter2-hunter2".len()], "of the second set");
}

proptest! {
    #[test]
    fn a_form_that_is_cut_is_found_on_both_sides_of_the_cut(
        value in "[a-c'é]{4,12}",
        usage in prop::sample::select(vec![Usage::Plain, Usage::Common, Usage::Usual, Usage::Rare]),
        form in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        rest in "(\n[a-c ]{0,6})?",
    ) {
        let r = redactor(&[&value]);
        let forms = forms::of(value.trim(), usage);
        prop_assume!(!forms.is_empty());
        let form = String::from_utf8(form.get(&forms).bytes.clone()).unwrap();
        let (begin, end) = form.split_at(form.ceil_char_boundary(cut.index(form.len())));
        let text = format!("x\n{end}{rest}");
        if end.len() > 3 {
            let found = r.ending_after(&text, &[0, 2]);
            prop_assert!(found[1] >= end.len(), "{text:?}: {found:?}");
        }
        let text = format!("{rest}\n{begin}");
        if begin.len() > 3 {
            let found = r.begun_before(&text, &[rest.len(), text.len()]);
            prop_assert!(found[1] >= begin.len(), "{text:?}: {found:?}");
        }
    }
}

#[test]
fn pieces_of_values_and_of_their_hex_and_base64_are_found_as_they_are_drawn() {
    let one = Arc::new(redactor(&["Zq9\tsecret W77xy\u{301}AB", "short"]));
    let both = one.with(&Arc::new(redactor(&["hunter2-hunter2é"])));
    let cases: [(&str, &[(usize, usize)]); 8] = [
        ("Zq9secretW77xyAB", &[(0, 16)]),
        ("q9secretW7x7xyAB", &[(0, 10)]),
        ("9secretW-unter2-h-Zq9secr", &[(0, 8), (9, 17)]),
        ("er2-hunter2éxxx", &[(0, 13)]),
        ("er2-hunter2ê", &[(0, 11)]),
        ("short", &[]),
        (&hex::encode("Zq9\tsec"), &[(0, 14)]),
        ("XNlY3JldC-", &[(0, 9)]),
    ];
    for (text, want) in cases {
        let found: Vec<(usize, usize)> = both.pieces(text).into_iter().map(|at| (at.start, at.end)).collect();
        assert_eq!(found, want, "{text}");
    }
    for (piece, want) in
        [("https://", true), ("Password", true), ("00000000", true), ("ab12cdef", false), ("aBcdefgh", false)]
    {
        assert_eq!(is_ordinary(piece), want, "{piece}");
    }
    assert!(!is_ordinary("correcthorsebattery") && !is_ordinary("漢字かな"));
}
