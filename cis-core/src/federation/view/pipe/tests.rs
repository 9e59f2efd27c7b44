//! Two ends with a carrier between them that loses, repeats and reorders, in owned time.

use proptest::prelude::*;

use super::*;
use crate::ids::InputId;

const SESSION: Role = Role::Session { life: 77, pace: Pace::Screens };

fn view() -> ViewId {
    InputId::from_parts(1, 1)
}

fn output(n: u8, bytes: usize) -> Frame {
    Frame::Output { data: vec![n; bytes], next: Some(u64::from(n)) }
}

fn typed(text: &str) -> Frame {
    Frame::Typed { data: text.as_bytes().to_vec() }
}

/// The data of frames, joined.
fn data_of(frames: &[Frame]) -> Vec<u8> {
    let data = frames.iter().flat_map(|frame| match frame {
        Frame::Output { data, .. } | Frame::Typed { data } => data.clone(),
        _ => Vec::new(),
    });
    data.collect()
}

/// What the carrier does with a message.
#[derive(Debug, Clone, Copy)]
struct Fate {
    is_lost: bool,
    is_repeated: bool,
    takes_ms: BootMs,
}

const WELL: Fate = Fate { is_lost: false, is_repeated: false, takes_ms: 20 };

/// One end and what came out of it.
struct End {
    pipe: Pipe,
    got: Vec<Frame>,
    /// Segments on their way to it, by the time when they come.
    coming: Vec<(BootMs, Segment)>,
    sent: usize,
}

impl End {
    fn new(role: Role) -> Self {
        Self { pipe: Pipe::new(view(), role, 0), got: Vec::new(), coming: Vec::new(), sent: 0 }
    }
}

/// Lets both ends talk until a time, each message with the next fate.
fn talk(ends: &mut [End; 2], from: BootMs, until: BootMs, mut fates: impl FnMut() -> Fate) {
    let mut now = from;
    while now <= until {
        for side in 0..2 {
            while let Some(segment) = ends[side].pipe.poll_transmit(now) {
                ends[side].sent += 1;
                let fate = fates();
                let other = &mut ends[1 - side];
                if fate.is_repeated {
                    other.coming.push((now + fate.takes_ms * 3 + 1, segment.clone()));
                }
                if !fate.is_lost {
                    other.coming.push((now + fate.takes_ms, segment));
                }
            }
        }
        for end in ends.iter_mut() {
            end.coming.sort_by_key(|(at, _)| *at);
            while end.coming.first().is_some_and(|(at, _)| *at <= now) {
                let (_, segment) = end.coming.remove(0);
                end.got.extend(end.pipe.handle(segment, now));
            }
        }
        let next = ends.iter().flat_map(|end| {
            [end.pipe.poll_timeout(now), end.coming.first().map_or(BootMs::MAX, |(at, _)| *at)]
        });
        now = next.min().unwrap_or(until + 1).max(now + 1);
    }
}

fn ends() -> [End; 2] {
    [End::new(Role::Viewer { life: None }), End::new(SESSION)]
}

#[test]
fn a_key_and_its_echo_go_at_once() {
    let mut ends = ends();
    ends[0].pipe.push(typed("x"));
    let there = ends[0].pipe.poll_transmit(0).unwrap();
    assert_eq!(data_of(&ends[1].pipe.handle(there, 10)), b"x");
    assert!(ends[1].pipe.takes(10));
    ends[1].pipe.push(output(1, 1));
    let back = ends[1].pipe.poll_transmit(10).unwrap();
    assert_eq!(back.next, 1, "it acknowledges the key");
    assert_eq!(ends[1].pipe.poll_transmit(10), None);
    assert!(!ends[0].pipe.is_heard());
    assert_eq!(ends[0].pipe.handle(back, 20), [output(1, 1)]);
    assert!(ends[0].pipe.is_heard());
    assert_eq!(ends[0].pipe.poll_timeout(20), 20 + ACKNOWLEDGE_MS, "keys that follow may acknowledge it");
}

#[test]
fn much_output_takes_few_messages() {
    let mut ends = ends();
    let minute = 60_000;
    let mut now = 0;
    while now < minute {
        if ends[1].pipe.takes(now) {
            ends[1].pipe.push(output(1, SEGMENT_BYTES_MAX / 2));
        }
        talk(&mut ends, now, now + 9, || WELL);
        now += 10;
    }
    let sent = ends[0].sent + ends[1].sent;
    assert!(sent <= 60 * 8 + 4, "{sent} messages in a minute");
    assert!(ends[1].sent >= 60 * 5, "{} of them are output", ends[1].sent);
}

#[test]
fn what_is_too_long_for_a_segment_comes_whole_with_its_place_at_the_end() {
    let mut ends = ends();
    let long = Frame::Output { data: (0..100_000u32).map(|n| n as u8).collect(), next: Some(7) };
    ends[1].pipe.push(long.clone());
    assert!(!ends[1].pipe.takes(0));
    talk(&mut ends, 0, 5_000, || WELL);
    assert_eq!(data_of(&ends[0].got), data_of(std::slice::from_ref(&long)));
    let places: Vec<_> = ends[0]
        .got
        .iter()
        .filter_map(|frame| match frame {
            Frame::Output { next, .. } => *next,
            _ => None,
        })
        .collect();
    assert_eq!(places, [7]);
}

#[test]
fn an_end_from_which_nothing_is_heard_is_gone_and_a_quiet_one_is_not() {
    let mut ends = ends();
    ends[0].pipe.push(typed("x"));
    talk(&mut ends, 0, 600_000, || WELL);
    assert!(!ends[0].pipe.is_gone(600_000) && !ends[1].pipe.is_gone(600_000));
    assert!(ends[0].sent + ends[1].sent < 80, "it asks rarely");
    assert!(ends[0].pipe.is_gone(600_000 + GONE_MS) && ends[1].pipe.is_gone(600_000 + GONE_MS));
}

#[test]
fn nothing_follows_the_end() {
    let mut ends = ends();
    ends[1].pipe.push(output(1, 1));
    ends[1].pipe.push(Frame::End { problem: None });
    ends[1].pipe.push(output(2, 1));
    assert!(!ends[1].pipe.is_done());
    talk(&mut ends, 0, 2_000, || WELL);
    assert_eq!(ends[0].got, [output(1, 1), Frame::End { problem: None }]);
    assert!(ends[1].pipe.is_done());
}

#[test]
fn one_that_was_lost_comes_again_soon() {
    let mut ends = ends();
    let mut count = 0;
    (1..4).for_each(|n| ends[1].pipe.push(output(n, SEGMENT_BYTES_MAX)));
    talk(&mut ends, 0, 400, || {
        count += 1;
        Fate { is_lost: count == 1, ..WELL }
    });
    assert_eq!(ends[0].got.len(), 3);
}

/// Somebody may send any numbers.
#[test]
fn absurd_numbers_change_nothing() {
    let mut pipe = Pipe::new(view(), SESSION, 0);
    for number in [1 << 60, u64::MAX, WINDOW] {
        let odd = Segment {
            view: view(),
            number: Some(number),
            next: u64::MAX,
            life: Some(77),
            asks: false,
            frames: vec![typed("x")],
        };
        assert_eq!(pipe.handle(odd, 0), []);
    }
    assert!(pipe.early.is_empty());
    let first = Segment {
        view: view(),
        number: Some(0),
        next: 9,
        life: Some(77),
        asks: false,
        frames: vec![typed("a")],
    };
    assert_eq!(pipe.handle(first.clone(), 0), [typed("a")]);
    assert_eq!(pipe.handle(first, 0), [], "it counts once");
}

/// A homeserver may repeat to a node that restarted what it was sent before.
#[test]
fn what_was_typed_in_an_earlier_life_of_a_view_does_not_count() {
    let mut ends = ends();
    ends[0].pipe.push(Frame::Bye {});
    let first = ends[0].pipe.poll_transmit(0).unwrap();
    assert_eq!((first.number, first.life), (Some(0), None));
    let mut ends = self::ends();
    ends[0].pipe.push(typed("a"));
    let open = ends[0].pipe.poll_transmit(0).unwrap();
    ends[0].pipe.push(typed("rm -r x"));
    assert_eq!(ends[0].pipe.poll_transmit(0), None, "not before it is known to whom");
    ends[1].pipe.handle(open.clone(), 0);
    ends[1].pipe.push(output(1, 1));
    let answer = ends[1].pipe.poll_transmit(0).unwrap();
    ends[0].pipe.handle(answer, 0);
    let keys = ends[0].pipe.poll_transmit(0).unwrap();
    assert_eq!((keys.number, keys.life), (Some(1), Some(77)));
    let mut later = Pipe::new(view(), Role::Session { life: 78, pace: Pace::Screens }, 0);
    assert_eq!(later.handle(open, 0), [typed("a")]);
    assert_eq!(later.handle(keys, 0), []);
}

fn fates() -> impl Strategy<Value = Vec<(bool, bool, BootMs)>> {
    prop::collection::vec((prop::bool::weighted(0.3), prop::bool::weighted(0.2), 0i64..2_000), 400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Whatever the carrier does: all that was pushed comes out, once and in order, as long as it lets something through.
    #[test]
    fn all_comes_once_and_in_order(
        fates in fates(),
        keys in prop::collection::vec(("[a-z]{1,9}", 0i64..4_000), 0..40),
        outputs in prop::collection::vec((any::<u8>(), 1usize..60_000, 0i64..4_000), 0..12),
    ) {
        let mut ends = ends();
        let mut fates = fates.into_iter();
        let mut next = || {
            // The carrier recovers.
            let (is_lost, is_repeated, takes_ms) = fates.next().unwrap_or((false, false, 30));
            Fate { is_lost, is_repeated, takes_ms }
        };
        let mut all: Vec<(BootMs, usize, Frame)> = Vec::new();
        let mut at = 0;
        for (text, pause) in keys {
            at += pause;
            all.push((at, 0, typed(&text)));
        }
        at = 0;
        for (n, bytes, pause) in outputs {
            at += pause;
            all.push((at, 1, output(n, bytes)));
        }
        all.sort_by_key(|(at, ..)| *at);
        let mut pushed = [Vec::new(), Vec::new()];
        let mut now = 0;
        for (at, side, frame) in all {
            talk(&mut ends, now, at, &mut next);
            now = at;
            pushed[side].push(frame.clone());
            ends[side].pipe.push(frame);
        }
        talk(&mut ends, now, now + 900_000, &mut next);
        prop_assert_eq!(data_of(&ends[1].got), data_of(&pushed[0]));
        prop_assert_eq!(data_of(&ends[0].got), data_of(&pushed[1]));
        for end in &ends {
            prop_assert!(end.pipe.under_way.is_empty() && end.pipe.waiting.is_empty() && end.pipe.early.is_empty());
        }
    }
}
