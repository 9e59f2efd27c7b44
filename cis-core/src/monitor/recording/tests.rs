use proptest::prelude::*;

use super::*;
use crate::event::PromptKind;
use crate::monitor::{Modes, Reader, ReaderHow};

fn evidence(at_ms: i64, output_bytes: u64, quiet_ms: u64, name: &str) -> KernelEvidence {
    let modes = Some(Modes { canonical: true, echo: false });
    KernelEvidence {
        at_ms,
        output_bytes,
        quiet_ms,
        modes,
        foreground: vec![name.to_owned()],
        opaque: false,
        readers: vec![Reader::new(7, name, ReaderHow::Read, modes)],
        beside: 0,
        inside_opaque: false,
        cpu_ms: at_ms.unsigned_abs() / 100,
        processes: 2,
    }
}

fn sample() -> Recording {
    let at = |at_ms, what| Moment { at_ms, what };
    let kernel = |evidence| What::Kernel(Box::new(evidence));
    Recording {
        header: Header {
            size: TermSize { cols: 100, rows: 30 },
            started_ms: 1_700_000_000_000,
            command: "passwd \"x\"".to_owned(),
            program: Some("passwd".to_owned()),
            scenario: None,
            profile: Some("plain".to_owned()),
        },
        moments: vec![
            at(5, What::Output("Passwort: ü\r\n\u{1b}[1m".to_owned())),
            at(5, What::Label(Label::Waiting(PromptKind::Password))),
            at(250, kernel(evidence(1_700_000_000_250, 18, 245, "passwd"))),
            at(500, kernel(evidence(1_700_000_000_500, 18, 495, "passwd"))),
            at(700, What::Resize(TermSize { cols: 80, rows: 24 })),
            at(800, What::Input("*".to_owned())),
            at(800, What::Label(Label::Open)),
            at(61_001, What::Remark("it takes long".to_owned())),
            at(61_002, What::Exit(-9)),
        ],
    }
}

#[test]
fn a_recording_comes_back_as_it_was_written() {
    let sample = sample();
    assert_eq!(Recording::parse(&sample.to_text()), Ok(sample));
}

#[test]
fn evidence_that_did_not_change_takes_a_few_bytes() {
    let text = sample().to_text();
    let kernel: Vec<&str> = text.lines().filter(|line| line.contains("\"k\"")).collect();
    assert!(kernel[0].contains("readers"), "{}", kernel[0]);
    assert!(kernel[1].len() < 60, "{}", kernel[1]);
}

#[test]
fn another_version_and_broken_lines_are_named() {
    let old = r#"{"version": 2, "width": 80, "height": 24, "term": {"cols": 1, "rows": 1}}"#;
    assert_eq!(Recording::parse(old), Err(RecordingError::Header("it has version 2".to_owned())));
    assert_eq!(Recording::parse(""), Err(RecordingError::Empty));
    let head = Encoder::header(&Header::default());
    for (line, why) in [
        ("[0.1, \"o\"]", "expected [TIME"),
        ("[-1, \"o\", \"\"]", "seconds cannot have passed"),
        ("[0, \"r\", \"80\"]", "no size"),
        ("[0, \"k\", \"{}\"]", "evidence: missing field"),
    ] {
        let error = Recording::parse(&format!("{head}\n{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with("line 3 ") && error.contains(why), "{error}");
    }
}

#[test]
fn events_of_others_are_left_out_and_comments_too() {
    let head = Encoder::header(&Header::default());
    let parsed = Recording::parse(&format!("{head}# a comment\n[1.5, \"z\", \"\"]\n[0.5, \"o\", \"x\"]\n"));
    let moments = parsed.expect("a recording").moments;
    assert_eq!(moments, [Moment { at_ms: 2000, what: What::Output("x".to_owned()) }]);
}

proptest! {
    #[test]
    fn no_text_makes_it_fail_otherwise_than_by_an_error(text in "\\PC{0,200}", body in "\\PC{0,80}") {
        let _ = Recording::parse(&text);
        let _ = Recording::parse(&format!("{}{body}", Encoder::header(&Header::default())));
    }

    #[test]
    fn times_and_texts_survive(steps in prop::collection::vec((0u64..5000, ".{0,20}"), 0..40)) {
        let mut at_ms = 0;
        let moments = steps.into_iter().map(|(step, text)| {
            at_ms += step;
            Moment { at_ms, what: What::Output(text) }
        });
        let recording = Recording { header: Header::default(), moments: moments.collect() };
        prop_assert_eq!(Recording::parse(&recording.to_text()), Ok(recording));
    }
}
