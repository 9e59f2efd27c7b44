//! Exports made of envelopes as nodes write them, whole and changed.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};
use ulid::Ulid;

use super::*;
use crate::event::EventBody;
use crate::federation::envelope::Draft;
use crate::federation::journal::{Page, Writer};
use crate::federation::membership::{self, Membership, Owners, Placed, Right, Statement};
use crate::federation::outgoing::{About, JOURNAL, Numbering, Outgoing};
use crate::federation::sample::{key, run_id, story};
use crate::ids::{BlobId, NodeDid};

const ROOM: &str = "!r:x";
const SENDER: &str = "@node:x";
const TASKS: usize = 6;

/// The owner, which coordinates, and a worker's key.
const OWNER: u8 = 1;
const WORKER: u8 = 2;

fn text_of(tasks: usize) -> String {
    let mut text = "version = 1\n[dag]\nid = \"sample\"\n".to_owned();
    for n in 0..tasks {
        let _ = write!(text, "[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\n");
    }
    text
}

fn owner() -> Owners {
    Owners::one(key(OWNER).did())
}

fn event(n: usize, type_name: &str, content: &Value) -> Line {
    let (id, sender) = (format!("${n}"), SENDER.to_owned());
    let content = serde_json::from_str(&content.to_string()).unwrap();
    Line::Event { id, type_name: type_name.to_owned(), sender, content }
}

fn statement(room: &mut Membership, statement: Statement) -> Value {
    let placed: Placed = room.next(statement).unwrap();
    let body = serde_json::to_value(&placed).unwrap();
    let draft = Draft::of_room(membership::TYPE, body, Ulid::from_parts(placed.n, 1), ROOM, SENDER);
    let signed = draft.sign(&key(OWNER), 60_000).unwrap();
    let carrier = crate::federation::envelope::Carrier {
        room: ROOM,
        type_name: membership::TYPE,
        sender: Some(SENDER),
    };
    let content: Value = serde_json::from_str(&signed.content().to_string()).unwrap();
    let read = crate::federation::envelope::verify(&content, carrier, |_| crate::identity::Standing::Trusted);
    room.take(&read.unwrap()).unwrap();
    content
}

/// An export whose tasks ran on a worker that was admitted, or (`admits`: no) was not.
fn export(admits: bool, is_spec: bool) -> String {
    let (text, mut lines) = (text_of(TASKS), Vec::new());
    let mut room = Membership::new(ROOM, owner());
    let admit = |did, may: &[Right]| {
        let (may, tags) = (may.iter().copied().collect(), std::collections::BTreeSet::new());
        Statement::Admit { did, may, tags, name: Some("builder".to_owned()) }
    };
    let rights: &[Right] = if admits { &[Right::Execute] } else { &[Right::Submit] };
    let said = statement(&mut room, admit(key(WORKER).did(), rights));
    lines.push(event(1, membership::TYPE, &said));
    let mut facts = story(TASKS, &key(OWNER).did());
    for fact in &mut facts {
        match &mut fact.body {
            EventBody::RunCreated(created) if is_spec => {
                created.spec = BlobId::of(&text);
            }
            EventBody::TaskAssigned(grant) => grant.node = key(WORKER).did(),
            _ => {}
        }
    }
    let mut writer = Writer::begin(run_id(), key(OWNER).did(), Some(text));
    let numbering = Numbering::begin(None, true, 1);
    let mut outgoing =
        Outgoing { room: ROOM.into(), sender: Some(SENDER.into()), size_max: 60_000, numbering };
    for (n, part) in facts.chunks(10).enumerate() {
        part.iter().cloned().for_each(|fact| writer.push(fact));
        for page in writer.flush(59_000, 4) {
            let (body, file) = match page {
                Page::Inline { body, .. } => (body, None),
                Page::File(file) => (file.body(json!("mxc://x/y")), Some(file.bytes)),
            };
            let about = About { run: Some(run_id()), epoch: 0 };
            let id = Ulid::from_parts(9, n as u128);
            let signed = outgoing.envelope(JOURNAL, id, about, body, &key(OWNER)).unwrap();
            lines.push(event(10 + n, JOURNAL.name, &signed.content()));
            lines.extend(file.map(|data| Line::File { data }));
        }
    }
    whole(&lines)
}

/// The same lines with a header and an end.
fn whole(lines: &[Line]) -> String {
    let (format, room) = (FORMAT.to_owned(), ROOM.to_owned());
    let header = Line::Header { format, v: VERSION, room, run: run_id(), made_ms: 7 };
    let mut text = header.encode();
    lines.iter().for_each(|line| text.push_str(&line.encode()));
    let events = lines.iter().filter(|line| matches!(line, Line::Event { .. })).count();
    let end = Line::end(&text, events as u64).encode();
    text + &end
}

/// The lines between header and end.
fn lines_of(text: &str) -> Vec<Line> {
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines[1..lines.len() - 1].to_vec()
}

#[test]
fn a_whole_export_says_who_attests_what() {
    let verdict = verify(&export(true, true), &owner()).unwrap();
    assert_eq!(verdict.wrong, Vec::<String>::new());
    assert_eq!(verdict.specification, Specification::Matches);
    assert_eq!((verdict.state.unwrap().as_str(), verdict.tasks.len()), ("succeeded", TASKS));
    assert!(verdict.tasks.iter().all(|task| {
        task.node == Some(key(WORKER).did()) && task.by == Some(key(OWNER).did()) && task.attempts == 1
    }));
    assert_eq!(verdict.name_of(&key(WORKER).did()), Some("builder"));
    assert_eq!((verdict.answers.len(), &*verdict.answers[0].by), (1, "@ann:x"));
    assert_eq!(verdict.coordinators.len(), 1);
    let hidden = verify(&export(true, false), &owner()).unwrap();
    assert!(hidden.holds() && hidden.specification == Specification::Hidden);
}

#[test]
fn a_node_that_may_not_execute_and_another_owner_are_found() {
    let verdict = verify(&export(false, true), &owner()).unwrap();
    assert!(verdict.wrong[0].contains("did not let execute"), "{:?}", verdict.wrong);
    let stranger = Owners::one(key(9).did());
    assert!(!verify(&export(true, true), &stranger).unwrap().holds());
}

#[test]
fn lines_that_are_left_out_repeated_or_put_elsewhere_are_found() {
    let lines = lines_of(&export(true, true));
    let last = lines.len() - 1;
    for n in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(n);
        let verdict = verify(&whole(&less), &owner()).unwrap();
        // Who exports can leave out the end of a journal: then the run has not ended.
        let is_cut = n == last && verdict.state.is_some_and(|state| !state.is_terminal());
        assert!(!verdict.holds() || is_cut, "line {n} is missing");
    }
    let mut twice = lines.clone();
    twice.push(lines[last].clone());
    assert!(verify(&whole(&twice), &owner()).unwrap().holds(), "a homeserver may repeat an event");
    let mut swapped = lines;
    swapped.swap(last - 1, last);
    assert!(verify(&whole(&swapped), &owner()).unwrap().holds(), "entries have their own order");
}

#[test]
fn what_is_no_export_is_refused() {
    let text = export(true, true);
    let no_header: String = text.split_inclusive('\n').skip(1).collect();
    for odd in ["", "{}", "hello\n", &no_header, &(text.clone() + "{}\n"), &(text.clone() + &text)] {
        assert!(verify(odd, &owner()).is_err(), "{odd:.40}");
    }
    // What would take many times its size in memory is not read.
    let zeros = json!(vec![0; 200_000]);
    let bloated = Line::Event {
        id: "$x".to_owned(),
        type_name: "x".to_owned(),
        sender: "@x:y".to_owned(),
        content: zeros.clone(),
    };
    let padded = format!("{{\"line\":\"file\",\"data\":\"\",\"x\":{zeros}}}\n");
    for line in [bloated.encode(), padded] {
        let at = text.find('\n').unwrap() + 1;
        let long = format!("{}{line}{}", &text[..at], &text[at..]);
        let refused = verify(&long, &owner()).unwrap_err();
        assert_eq!(refused, BadExport::Format { number: 2, why: "it is too long".to_owned() });
    }
    let later = text.replacen("\"v\":1", "\"v\":2", 1);
    assert_eq!(verify(&later, &owner()), Err(BadExport::Later(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// A byte that is another one, wherever it stands, is found.
    #[test]
    fn a_changed_byte_is_found(at in any::<prop::sample::Index>(), bit in 0u8..7) {
        let mut bytes = export(true, true).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(verify(&text, &owner()).map_or(true, |verdict| !verdict.holds()), "byte {at}");
        }
    }

    /// The same of somebody who makes the end fit: what is signed cannot be changed.
    #[test]
    fn a_changed_content_is_found(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let mut lines = lines_of(&export(true, true));
        let index = pick.index(lines.len());
        let Line::Event { content, .. } = &mut lines[index] else { return Ok(()) };
        let text = content.to_string();
        let digits: Vec<usize> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
        let at = digits[at.index(digits.len())];
        let mut changed = text.clone();
        changed.replace_range(at..=at, if &text[at..=at] == "7" { "3" } else { "7" });
        let Ok(value) = serde_json::from_str(&changed) else { return Ok(()) };
        *content = value;
        prop_assert!(!verify(&whole(&lines), &owner()).unwrap().holds(), "{changed}");
    }

    #[test]
    fn fuzz_any_lines(text in "\\PC{0,200}\n\\PC{0,200}") {
        prop_assert!(verify(&text, &owner()).is_err());
    }
}

/// The node of the run had taken another key before.
#[test]
fn a_run_of_a_node_that_changed_its_key_is_its_own() {
    let owner = NodeDid("did:key:z6MksLrHYvYcsUgDBEFqWzJPmcay53MMtMePZowTjnTC1N8a".to_owned());
    let verdict = verify(include_str!("golden/rotated-key.jsonl"), &Owners::one(owner)).unwrap();
    assert_eq!(verdict.wrong, Vec::<String>::new());
    assert!(verdict.state.is_some());
}

/// What a statement is stands in a word: other readers do not know our list of them.
#[test]
fn a_statement_whose_kind_is_a_number_admits_nobody() {
    let owner = NodeDid("did:key:z6MkegmJ9Z9hLDSUi8LymWXvxQt1ZNWmxaWbmn1YARjkD2ns".to_owned());
    let verdict = verify(include_str!("golden/statement-by-number.jsonl"), &Owners::one(owner)).unwrap();
    assert!(verdict.members.is_empty() && !verdict.wrong.is_empty(), "{verdict:?}");
}
