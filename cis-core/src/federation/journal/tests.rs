//! Merging, writing, reading: gaps, disorder, takeovers, forgeries.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::batch::InlineBody;
use super::line::Step;
use super::*;
use crate::event::EventBody;
use crate::federation::envelope::{Carrier, Verified, verify};
use crate::federation::outgoing::{About, JOURNAL, Numbering, Outgoing};
use crate::federation::room_event::to_facts;
use crate::federation::sample::{self, SPEC, at, fold, holds, key, run_id, story};
use crate::identity::{NodeKey, Standing};
use crate::ids::Epoch;
use crate::ids::NodeDid;

const ROOM: &str = "!r:x";
const SENDER: &str = "@node:x";

fn outgoing() -> Outgoing {
    let numbering = Numbering::begin(None, true, 1);
    Outgoing { room: ROOM.into(), sender: Some(SENDER.into()), size_max: 60_000, numbering }
}

/// Signs a body and checks it as its readers do.
fn carried(body: Value, epoch: Epoch, key: &NodeKey) -> Verified {
    let about = About { run: Some(run_id()), epoch };
    let signed = outgoing().envelope(JOURNAL, ulid::Ulid::nil(), about, body, key).unwrap();
    let carrier = Carrier { room: ROOM, type_name: TYPE, sender: Some(SENDER) };
    let content = serde_json::from_str(&signed.content().to_string()).unwrap();
    verify(&content, carrier, |_| Standing::Trusted).unwrap()
}

fn batch_of(page: Page, epoch: Epoch, key: &NodeKey) -> Batch {
    let (body, bytes) = match page {
        Page::Inline { body, .. } => (body, Vec::new()),
        Page::File(file) => (file.body(json!("mxc://x/y")), file.bytes),
    };
    match Batch::read(&carried(body, epoch, key)).unwrap() {
        Told::Batch(batch) => batch,
        Told::File(file) => file.open(&bytes).unwrap(),
    }
}

/// The same without a signature, which takes time where nothing is optimised.
fn quick(page: Page, epoch: Epoch, by: &NodeDid) -> Batch {
    let Page::Inline { body, .. } = page else { panic!("it is small") };
    let InlineBody { first, prev, entries } = serde_json::from_value(body).unwrap();
    Batch::linked(run_id(), epoch, by.clone(), (first, prev), entries).unwrap()
}

/// Writes facts in pages of `per_page` facts each, so that every page has its own batch.
fn written(writer: &mut Writer, facts: &[Fact], per_page: usize, key: &NodeKey) -> Vec<Batch> {
    let mut batches = Vec::new();
    for part in facts.chunks(per_page) {
        part.iter().cloned().for_each(|fact| writer.push(fact));
        let epoch = writer.epoch();
        batches.extend(writer.flush(59_000, 4).into_iter().map(|page| quick(page, epoch, &key.did())));
    }
    batches
}

/// What a reader folds: entries, and back again where a takeover cuts them off.
#[derive(Default)]
struct Follower {
    placed: Vec<Placed>,
}

impl Follower {
    fn take(&mut self, reader: &mut Reader, batch: &Batch) -> Taken {
        self.follow(reader.take(batch.clone()))
    }

    fn follow(&mut self, taken: Taken) -> Taken {
        if let Some(cut) = taken.cut {
            self.placed.retain(|placed| placed.at.n <= cut.n);
        }
        self.placed.extend(taken.entries.iter().cloned());
        taken
    }

    fn facts(&self) -> Vec<Fact> {
        self.placed.iter().flat_map(|placed| to_facts(&placed.entry, &placed.by).unwrap()).collect()
    }
}

fn read_all<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> (Follower, Reader) {
    let (mut follower, mut reader) = (Follower::default(), Reader::new(run_id()));
    for batch in batches {
        follower.take(&mut reader, batch);
    }
    (follower, reader)
}

fn types(pieces: &[Piece]) -> Vec<&'static str> {
    pieces.iter().map(|piece| piece.fact.body.type_name().strip_prefix("cis.dag.").unwrap()).collect()
}

fn coalesced(facts: Vec<Fact>) -> Vec<Piece> {
    let mut coalescer = Coalescer::default();
    facts.into_iter().for_each(|fact| coalescer.push(fact));
    coalescer.drain()
}

#[test]
fn a_quiet_try_is_one_entry_and_nothing_that_matters_is_merged() {
    let pieces = coalesced(story(4, &key(1).did()));
    let expected = [
        "run.created",
        "run.started",
        // The try of t1 waited for somebody: it is told step by step.
        "task.status",
        "task.assigned",
        "session.started",
        "session.said",
        "session.blocked",
        "session.answered",
        "session.recovered",
        "task.result",
        "task.result",
        "session.said",
        "task.result",
        "task.result",
        "run.completed",
    ];
    assert_eq!(types(&pieces), expected);
    let lives: Vec<bool> = pieces.iter().map(|piece| piece.life.is_some()).collect();
    assert_eq!(lives.iter().filter(|life| **life).count(), 3, "all but t1");
}

#[test]
fn what_happens_to_the_run_keeps_tries_where_they_began() {
    let by = key(1).did();
    let mut facts = story(2, &by);
    // After the grants.
    facts.truncate(6);
    facts.push(at(5, EventBody::RunPaused {}));
    facts.push(at(6, sample::ended(0, 1, 5)));
    let pieces = coalesced(facts);
    let expected = [
        "run.created",
        "run.started",
        "task.status",
        "task.assigned",
        "task.assigned",
        "run.paused",
        "task.result",
    ];
    assert_eq!(types(&pieces), expected);
}

#[test]
fn the_journal_folds_to_the_state_of_the_events() {
    let key = key(1);
    let facts = story(9, &key.did());
    for per_page in [1, 2, 3, 7, 1000] {
        let mut writer = Writer::begin(run_id(), key.did(), Some(SPEC.into()));
        let batches = written(&mut writer, &facts, per_page, &key);
        let (follower, reader) = read_all(&batches);
        assert_eq!(fold(&follower.facts()).canonical(), fold(&facts).canonical());
        assert_eq!((reader.position(), reader.missing()), (writer.position(), vec![]));
        assert_eq!(crate::federation::room_event::spec_text(&follower.placed[0].entry), Some(SPEC));
    }
}

#[test]
fn a_thousand_tasks_fit_into_few_envelopes() {
    let key = key(1);
    let mut writer = Writer::begin(run_id(), key.did(), Some(SPEC.into()));
    story(1000, &key.did()).into_iter().for_each(|fact| writer.push(fact));
    let about = About { run: Some(run_id()), epoch: 0 };
    let body_max = outgoing().body_max(JOURNAL, about, &key.did());
    let pages = writer.clone().flush(body_max, 100);
    assert!(pages.iter().all(|page| matches!(page, Page::Inline { .. })));
    let sizes: Vec<usize> = pages
        .iter()
        .map(|page| {
            let Page::Inline { body, .. } = page else { unreachable!() };
            outgoing().envelope(JOURNAL, ulid::Ulid::nil(), about, body.clone(), &key).unwrap().size()
        })
        .collect();
    assert!(sizes.iter().all(|size| *size <= 60_000), "{sizes:?}");
    // Half of them say progress, which keeps their steps; even so.
    assert!(pages.len() <= 16, "{} pages", pages.len());
    let file = writer.flush(body_max, 3);
    assert!(matches!(file.as_slice(), [Page::File(_)]), "more than three pages go as one file");
}

#[test]
fn what_is_too_large_goes_as_a_file_that_nobody_can_replace() {
    let key = key(1);
    let mut writer = Writer::begin(run_id(), key.did(), Some("x".repeat(70_000)));
    story(1, &key.did()).into_iter().for_each(|fact| writer.push(fact));
    let pages = writer.flush(59_000, 9);
    let Page::File(file) = &pages[0] else { panic!("{pages:?}") };
    let Told::File(told) = Batch::read(&carried(file.body(json!({"url": "mxc://x/y"})), 0, &key)).unwrap()
    else {
        panic!("it is a file")
    };
    assert_eq!((told.media(), told.size()), (&json!({"url": "mxc://x/y"}), file.bytes.len() as u64));
    let mut other = file.bytes.clone();
    other[9] ^= 1;
    assert!(matches!(told.open(&other), Err(BadBatch::File { .. })));
    let batches: Vec<Batch> = pages.into_iter().map(|page| batch_of(page, 0, &key)).collect();
    let (follower, _) = read_all(&batches);
    assert_eq!(fold(&follower.facts()).canonical(), fold(&story(1, &key.did())).canonical());
}

#[test]
fn gaps_are_told_until_they_are_filled() {
    let key = key(1);
    let mut writer = Writer::begin(run_id(), key.did(), None);
    let batches = written(&mut writer, &story(6, &key.did()), 1, &key);
    let (mut follower, mut reader) = read_all(batches.iter().filter(|batch| batch.entries[0].at.n != 3));
    assert_eq!(reader.missing(), [Missing { epoch: 0, from: 3, to: 3 }]);
    assert_eq!(follower.placed.len(), 2);
    follower.take(&mut reader, &batches[2]);
    assert_eq!((reader.missing(), reader.position()), (vec![], writer.position()));
    let taken = follower.take(&mut reader, &batches[2]);
    assert_eq!(taken.reports, [Report::Duplicate]);
}

/// A run of which node 1 wrote `first` facts, and node 2 takes over after the entry `cut`.
fn taken_over(facts: &[Fact], cut: usize, heir: u8) -> (Vec<Batch>, Vec<Batch>, Writer) {
    overtaken(facts, cut, heir, Step::TakesOver)
}

fn overtaken(facts: &[Fact], cut: usize, heir: u8, step: Step) -> (Vec<Batch>, Vec<Batch>, Writer) {
    let owner = key(1);
    let mut writer = Writer::begin(run_id(), owner.did(), None);
    let mut positions = vec![writer.position()];
    let mut old = Vec::new();
    for fact in facts {
        old.extend(written(&mut writer, std::slice::from_ref(fact), 1, &owner));
        if writer.position() != *positions.last().unwrap() {
            positions.push(writer.position());
        }
    }
    let heir = key(heir);
    let mut next = Writer::take_over(run_id(), heir.did(), positions[cut]);
    let (owner, epoch, cut) = (heir.did(), next.epoch(), cut as u64);
    let (forced, voted) = match step {
        Step::TakesOverAnywhere { voted } => (true, voted),
        _ => (false, false),
    };
    let lost = step == Step::TakesOverBeforeFile;
    let over = EventBody::RunTakenOver { owner, epoch, cut, forced, voted, lost };
    let mut new = written(&mut next, &[at(50, over)], 1, &heir);
    new.extend(written(
        &mut next,
        &[at(51, EventBody::RunModeChanged { mode: Default::default(), room: None })],
        1,
        &heir,
    ));
    (old, new, next)
}

/// Batches of one entry each, up to and with number `n`, and those after it.
fn at_entry(batches: &[Batch], n: u64) -> (&[Batch], &[Batch]) {
    let of = |batch: &Batch| batch.entries[0].at.n <= n;
    batches.split_at(batches.iter().take_while(|batch| of(batch)).count())
}

#[test]
fn what_the_old_coordinator_says_after_a_takeover_does_not_count() {
    let facts = story(2, &key(1).did());
    let (old, new, next) = taken_over(&facts, 4, 2);
    let (before, after) = at_entry(&old, 4);
    let (mut follower, mut reader) = read_all(before.iter().chain(&new).chain(after));
    assert_eq!(reader.position(), next.position());
    let numbers: Vec<(Epoch, u64)> =
        follower.placed.iter().map(|placed| (placed.at.epoch, placed.at.n)).collect();
    assert_eq!(numbers, [(0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6)]);
    assert_eq!(follower.placed[4].by, key(2).did());
    assert_eq!(reader.missing(), []);
    assert!(old.iter().all(|batch| follower.take(&mut reader, batch).entries.is_empty()));
}

#[test]
fn what_counted_once_counts_for_good() {
    let facts = story(2, &key(1).did());
    let (old, late, _) = taken_over(&facts, 4, 2);
    let (_, first, first_end) = taken_over(&facts, 6, 3);
    let (_, second, _) = taken_over(&facts, 6, 4);
    let (before, after) = at_entry(&old, 6);
    // One takeover does not know entries that stand before it, and one comes second.
    let (follower, reader) = read_all(before.iter().chain(&late).chain(&first).chain(&second).chain(after));
    assert_eq!(reader.position(), first_end.position());
    assert_eq!(follower.placed.len() as u64, first_end.position().n);
}

fn put_into_files(batches: &mut [Batch]) {
    batches.iter_mut().flat_map(|batch| &mut batch.entries).for_each(|linked| linked.in_file = true);
}

/// Those who have the file, and those who miss it, come to the same story.
#[test]
fn a_takeover_before_a_missing_file_counts_for_all() {
    let facts = story(2, &key(1).did());
    let (mut old, new, next) = overtaken(&facts, 4, 2, Step::TakesOverBeforeFile);
    put_into_files(&mut old[4..]);
    let (before, file) = at_entry(&old, 4);
    for order in [[before, file, &new], [before, &new, file], [before, &new, &[]]] {
        let (follower, reader) = read_all(order.into_iter().flatten());
        assert_eq!(reader.position(), next.position());
        assert_eq!(follower.placed.iter().filter(|placed| placed.at.epoch == 0).count(), 4);
        assert_eq!(reader.missing(), []);
    }
}

/// A coordinator writes again what was in the file, after the takeover.
#[test]
fn what_was_in_a_missing_file_does_not_count_if_it_comes_later() {
    let facts = story(2, &key(1).did());
    let (old, new, next) = overtaken(&facts, 4, 2, Step::TakesOverBeforeFile);
    let mut in_file = old.clone();
    put_into_files(&mut in_file);
    let ((before, inline), (_, file)) = (at_entry(&old, 4), at_entry(&in_file, 4));
    for order in [[before, file, &new, inline], [before, &new, inline, &[]]] {
        let (_, reader) = read_all(order.into_iter().flatten());
        assert_eq!(reader.position(), next.position());
    }
}

#[test]
fn a_takeover_before_entries_that_are_there_does_not_count() {
    let facts = story(2, &key(1).did());
    let (old, new, _) = overtaken(&facts, 4, 2, Step::TakesOverBeforeFile);
    let (_, reader) = read_all(old.iter().chain(&new));
    assert_eq!(reader.position(), old.last().unwrap().entries[0].at);
}

/// Another node, which has the file, went on before: its results may be final.
#[test]
fn a_takeover_before_a_missing_file_does_not_count_after_another_one() {
    let facts = story(2, &key(1).did());
    let (mut old, late, _) = overtaken(&facts, 4, 2, Step::TakesOverBeforeFile);
    let (_, usual, usual_end) = taken_over(&facts, 6, 3);
    put_into_files(&mut old[4..]);
    let (before, file) = at_entry(&old, 4);
    let (file, _) = at_entry(file, 6);
    let (_, reader) = read_all(before.iter().chain(file).chain(&usual).chain(&late));
    assert_eq!(reader.position(), usual_end.position());
    let (_, reader) = read_all(before.iter().chain(&usual).chain(&late));
    assert_eq!(reader.position(), before[3].entries[0].at, "who misses the file does not know");
    assert!(reader.knows_later_term(|_| true));
    assert!(!reader.knows_later_term(|writer| *writer == key(9).did()), "others do not coordinate");
    let (_, reader) = read_all(before.iter().chain(&late).chain(&usual));
    assert_eq!(reader.position().epoch, 1);
}

/// Homeservers that were cut off from each other have different orders.
#[test]
fn a_forced_takeover_counts_in_each_order_of_the_timeline() {
    let facts = story(2, &key(1).did());
    let (old, usual, _) = taken_over(&facts, 6, 4);
    let forced = [2, 3].map(|heir| overtaken(&facts, 4, heir, Step::TakesOverAnywhere { voted: false }));
    let [(_, one, one_end), (_, other, other_end)] = forced;
    let (before, after) = at_entry(&old, 4);
    for order in [[before, after, &one], [before, &one, after]] {
        let (follower, reader) = read_all(order.into_iter().flatten());
        assert_eq!(reader.position(), one_end.position());
        assert_eq!(follower.placed.iter().filter(|placed| placed.at.epoch == 0).count(), 4);
    }
    let orders = [[&old, &usual, &one, &other], [&other, &old, &one, &usual], [&old, &one, &usual, &other]];
    let ends = orders.map(|order| read_all(order.into_iter().flatten()).1.position());
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    assert!([one_end.position(), other_end.position()].contains(&ends[0]));
}

#[test]
fn what_a_majority_chose_counts_before_what_a_person_did_in_each_order() {
    let facts = story(2, &key(1).did());
    let by = |(heir, voted)| overtaken(&facts, 4, heir, Step::TakesOverAnywhere { voted });
    let takeovers = [(2, false), (3, true), (4, false), (5, false)].map(by);
    let old = &takeovers[0].0;
    let (before, after) = at_entry(old, 4);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let new = order.iter().flat_map(|at| &takeovers[*at].1);
        let (_, reader) = read_all(before.iter().chain(after).chain(new));
        assert_eq!(reader.position(), takeovers[1].2.position(), "{order:?}");
    }
}

/// Two nodes have one key, or a coordinator lies: it signs two entries in one place, and goes on after each of them.
#[test]
fn of_a_fork_every_reader_takes_the_first_and_says_so() {
    let owner = key(1);
    let facts = story(2, &owner.did());
    let mut one = Writer::begin(run_id(), owner.did(), None);
    let before = written(&mut one, &facts[..3], 1, &owner);
    let base = one.position();
    let mut other = Writer::resume(run_id(), owner.did(), base);
    let mode = |at_ms| at(at_ms, EventBody::RunModeChanged { mode: Default::default(), room: None });
    let true_ones = written(&mut one, &[mode(50), mode(51)], 1, &owner);
    let forged = written(&mut other, &[mode(60)], 1, &owner);
    for (first, second, counts) in [(&true_ones, &forged, true), (&forged, &true_ones, false)] {
        let (mut follower, mut reader) = read_all(before.iter().chain(first));
        assert_eq!(reader.counts(one.position()), counts.then_some(true), "it was not read yet");
        let told: Vec<Report> =
            second.iter().flat_map(|batch| follower.take(&mut reader, batch).reports).collect();
        let fork = Report::Fork { epoch: 0, n: base.n + 1, by: owner.did() };
        assert_eq!(told, [fork], "only the first entry after the common one stands in a place that is taken");
        assert_eq!(reader.counts(base), Some(true));
        // Also of an entry behind the place of the fork it is known that it does not count.
        assert_eq!(reader.counts(one.position()), Some(counts));
        assert_eq!(reader.counts(other.position()), Some(!counts));
        let newest = if counts { one.position() } else { other.position() };
        assert_eq!(reader.position(), newest);
    }
}

/// The room of a run is read again, for example because a key came.
#[test]
fn a_takeover_that_was_refused_stays_so() {
    use crate::federation::recovery::Recovery;
    let (owner, heir) = (key(1), key(2));
    let envelope = |writer: &mut Writer, facts: Vec<Fact>, key: &NodeKey| {
        facts.into_iter().for_each(|fact| writer.push(fact));
        let epoch = writer.epoch();
        match writer.flush(59_000, 1).remove(0) {
            Page::Inline { body, .. } => carried(body, epoch, key),
            Page::File(_) => panic!("it is small"),
        }
    };
    let mut writer = Writer::begin(run_id(), owner.did(), Some(SPEC.into()));
    let begun = envelope(&mut writer, story(2, &owner.did())[..4].to_vec(), &owner);
    let mut next = Writer::take_over(run_id(), heir.did(), writer.position());
    let cut = writer.position().n;
    let over = at(
        50,
        EventBody::RunTakenOver {
            owner: heir.did(),
            epoch: 1,
            cut,
            forced: false,
            voted: false,
            lost: false,
        },
    );
    let taken_over = envelope(&mut next, vec![over], &heir);
    let read = |room: &mut Recovery| {
        room.take(&begun);
        room.take(&taken_over);
    };
    let mut room = Recovery::new(ROOM.into(), Default::default());
    read(&mut room);
    room.set_coordinators([heir.did()].into());
    room.read_again();
    read(&mut room);
    room.read_to_end();
    assert_eq!(room.fresh(run_id()).unwrap().at, writer.position());
    let mut admitted = Recovery::new(ROOM.into(), [heir.did()].into());
    read(&mut admitted);
    assert_eq!(admitted.fresh(run_id()).unwrap().at, next.position());
}

#[test]
fn nobody_writes_in_anothers_journal() {
    let (owner, mallory) = (key(1), key(9));
    let facts = story(2, &owner.did());
    let mut writer = Writer::begin(run_id(), owner.did(), None);
    let batches = written(&mut writer, &facts[..4], 1, &owner);
    // He goes on in the owner's term.
    let mut forged = Writer::resume(run_id(), mallory.did(), batches[1].entries[0].at);
    let forged = written(&mut forged, &[at(3, EventBody::RunPaused {})], 1, &mallory);
    let (mut follower, mut reader) = read_all(&batches[..2]);
    assert_eq!(follower.take(&mut reader, &forged[0]).entries, []);
    follower.take(&mut reader, &batches[2]);
    assert_eq!(follower.placed.last().unwrap().by, owner.did());

    let forged_body = |fact: Fact, writer: &mut Writer| {
        writer.push(fact);
        match writer.flush(59_000, 4).remove(0) {
            Page::Inline { body, .. } => body,
            Page::File(_) => unreachable!(),
        }
    };
    // He begins the run in the owner's name, takes it over in the owner's name, or without a term of his own.
    let body = forged_body(facts[0].clone(), &mut Writer::begin(run_id(), mallory.did(), None));
    assert!(matches!(Batch::read(&carried(body, 0, &mallory)), Err(BadBatch::Forged { n: 1, .. })));
    let over = |epoch, cut| {
        at(
            4,
            EventBody::RunTakenOver {
                owner: owner.did(),
                epoch,
                cut,
                forced: false,
                voted: false,
                lost: false,
            },
        )
    };
    let cut = batches[1].entries[0].at;
    let body = forged_body(over(1, 2), &mut Writer::take_over(run_id(), mallory.did(), cut));
    assert!(matches!(Batch::read(&carried(body, 1, &mallory)), Err(BadBatch::Forged { .. })));
    let body = forged_body(over(1, 2), &mut Writer::resume(run_id(), owner.did(), cut));
    assert!(matches!(Batch::read(&carried(body, 0, &owner)), Err(BadBatch::Forged { .. })));
    let body = forged_body(over(1, 1), &mut Writer::take_over(run_id(), owner.did(), cut));
    assert!(matches!(Batch::read(&carried(body, 1, &owner)), Err(BadBatch::Forged { .. })));
}

#[test]
fn misshapen_batches_are_refused() {
    let key = key(1);
    let hash = "00".repeat(32);
    for body in [
        json!({}),
        json!({"first": 0, "prev": hash, "entries": [{}]}),
        json!({"first": 1, "prev": hash, "entries": []}),
        json!({"first": 1, "prev": "zz", "entries": [{}]}),
        json!({"first": 9_007_199_254_740_991_i64, "prev": hash, "entries": [{}, {}]}),
        json!({"first": 1, "prev": hash, "entries": [{"~n": 1}]}),
        json!({"first": 1, "prev": hash, "file": {}}),
        json!({"first": 1, "prev": hash, "count": 1, "head": hash,
            "file": {"sha256": hash, "size": 99_999_999, "media": null}}),
    ] {
        assert!(Batch::read(&carried(body.clone(), 0, &key)).is_err(), "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What could not be read at once leads to the same state when the room is read again.
    #[test]
    fn a_room_that_is_read_again_leads_to_the_same_state(
        lost in proptest::collection::vec(any::<bool>(), 40),
        cut in 1u64..12,
        late in 1u64..12,
    ) {
        let facts = story(4, &key(1).did());
        let (old, new, _) = taken_over(&facts, cut as usize, 2);
        let (_, other, _) = taken_over(&facts, late as usize, 5);
        let (before, after) = at_entry(&old, cut.max(late));
        let all: Vec<&Batch> = before.iter().chain(&new).chain(&other).chain(after).collect();
        let (in_order, whole) = read_all(all.iter().copied());
        let (mut follower, mut reader) = read_all(all.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(b, _)| *b));
        reader.read_again();
        for batch in &all {
            follower.take(&mut reader, batch);
        }
        follower.follow(reader.read_to_end());
        prop_assert_eq!(reader.position(), whole.position());
        prop_assert_eq!(reader.missing(), vec![]);
        prop_assert_eq!(&follower.placed, &in_order.placed);
    }
}

/// A journal as the first version wrote it: an envelope a line, then the hash of the run's canonical state. Never changes; a
/// later version adds a file.
const GOLDEN: &str = include_str!("golden/v1.txt");

/// The journal that stands in the file above, as this version writes it.
fn golden_pages() -> Vec<(Value, Epoch)> {
    let key = key(1);
    let mut writer = Writer::begin(run_id(), key.did(), Some(SPEC.to_owned()));
    let mut pages = Vec::new();
    for part in story(5, &key.did()).chunks(9) {
        part.iter().cloned().for_each(|fact| writer.push(fact));
        let epoch = writer.epoch();
        pages.extend(writer.flush(59_000, 4).into_iter().map(|page| match page {
            Page::Inline { body, .. } => (body, epoch),
            Page::File(_) => panic!("it is small"),
        }));
    }
    pages
}

#[test]
fn a_journal_of_the_first_version_is_read_and_written_as_it_was() {
    let (envelopes, hash) = GOLDEN.trim_end().rsplit_once('\n').unwrap();
    let (mut reader, mut follower) = (Reader::new(run_id()), Follower::default());
    let mut written = golden_pages().into_iter();
    for line in envelopes.lines() {
        let content: Value = serde_json::from_str(line).unwrap();
        let carrier = Carrier { room: ROOM, type_name: TYPE, sender: Some(SENDER) };
        let verified = verify(&content, carrier, |_| Standing::Trusted).unwrap();
        let (body, _) = written.next().unwrap();
        assert!(holds(&body, verified.body()), "{body}\nwas {}", verified.body());
        let Told::Batch(batch) = Batch::read(&verified).unwrap() else { panic!("it is small") };
        assert_eq!(follower.take(&mut reader, &batch).reports, []);
    }
    assert_eq!(written.next(), None);
    assert_eq!(fold(&follower.facts()).canonical_hash(), hash);
}
