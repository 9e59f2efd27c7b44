//! The budget against a homeserver's real bucket, in owned time.

use proptest::prelude::*;

use super::*;
use crate::room::pace::Pace;

/// A homeserver's bucket, as Synapse has it: what is refused is not counted.
struct Homeserver {
    burst: f64,
    per_ms: f64,
    tokens: f64,
    at: i64,
    taken: u32,
    refused: u32,
    /// Messages are on their way for up to so long, ms.
    way_max_ms: i64,
    drawn: u64,
}

impl Homeserver {
    fn new(burst: f64, per_s: f64) -> Self {
        Self {
            burst,
            per_ms: per_s / 1000.0,
            tokens: burst,
            at: 0,
            taken: 0,
            refused: 0,
            way_max_ms: 0,
            drawn: 7,
        }
    }

    fn take(&mut self, sent: i64) -> Result<(), u64> {
        self.drawn =
            self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let way = (self.drawn >> 33) as i64 % (self.way_max_ms + 1);
        let now = self.at.max(sent + way);
        self.tokens = (self.tokens + (now - self.at) as f64 * self.per_ms).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            self.taken += 1;
            return Ok(());
        }
        self.refused += 1;
        Err(((1.0 - self.tokens) / self.per_ms).ceil() as u64)
    }
}

/// Sends the head of a class, and says whether it was taken.
fn send(budget: &mut Budget, server: &mut Homeserver, now: i64) -> bool {
    match server.take(now) {
        Ok(()) => {
            budget.accepted(now);
            true
        }
        Err(retry) => {
            budget.refused(now, Some(retry));
            false
        }
    }
}

/// Queues of due times, in the order of [`Class::ALL`].
#[derive(Default)]
struct Queues([Vec<i64>; 7]);

impl Queues {
    fn heads(&self) -> Heads {
        Class::ALL.iter().zip(&self.0).filter_map(|(class, queue)| Some((*class, *queue.first()?))).collect()
    }

    fn pop(&mut self, class: Class) {
        self.0[Class::ALL.iter().position(|known| *known == class).unwrap()].remove(0);
    }
}

fn heads<const N: usize>(all: [(Class, i64); N]) -> Heads {
    all.into_iter().collect()
}

/// Runs until `end`: arrivals of (time, class) are sent as the budget says. Gives what is left, and how long humans'
/// messages waited.
fn play(
    budget: &mut Budget,
    server: &mut Homeserver,
    arrivals: &[(i64, usize)],
    end: i64,
) -> (Queues, Vec<i64>) {
    let mut waits = Vec::new();
    let left = play_with(budget, server, arrivals, end, |class, waited| {
        if class == Class::Human {
            waits.push(waited);
        }
    });
    (left, waits)
}

/// The same; says of each message that was sent how long it waited.
fn play_with(
    budget: &mut Budget,
    server: &mut Homeserver,
    arrivals: &[(i64, usize)],
    end: i64,
    mut sent: impl FnMut(Class, i64),
) -> Queues {
    let mut queues = Queues::default();
    let (mut now, mut next_arrival) = (0, 0);
    let mut turns = 0;
    while now <= end {
        turns += 1;
        assert!(turns < 100_000, "it turns without end at {now}");
        while let Some((at, class)) = arrivals.get(next_arrival).filter(|(at, _)| *at <= now) {
            queues.0[*class].push(*at);
            next_arrival += 1;
        }
        let heads = queues.heads();
        match budget.next(now, &heads) {
            Next::Send(class) => {
                let human = heads.of(Class::Human);
                let passed_by = class != Class::Human && human.is_some_and(|due| due <= now);
                assert!(!passed_by, "a human's message was passed at {now}");
                if send(budget, server, now) {
                    sent(class, now - heads.of(class).unwrap());
                    queues.pop(class);
                }
            }
            next => {
                let wait = if let Next::Wait { until, .. } = next { until } else { i64::MAX };
                assert!(wait > now, "it waits for the past");
                let arrival = arrivals.get(next_arrival).map_or(i64::MAX, |(at, _)| *at);
                now = wait.min(arrival);
            }
        }
    }
    queues
}

#[test]
fn a_burst_then_one_in_five_seconds_with_a_part_kept_back() {
    let mut budget = Budget::new(0);
    let ends = heads([(Class::Terminal, 0), (Class::Progress, 0)]);
    for _ in 0..7 {
        assert_eq!(budget.next(0, &ends), Next::Send(Class::Terminal));
        budget.accepted(0);
    }
    assert_eq!(budget.next(0, &ends), Next::Wait { until: 5000, why: Why::Allowance });
    assert_eq!(budget.left(), 3);
    let human = heads([(Class::Human, 0), (Class::Terminal, 0), (Class::Progress, 0)]);
    for _ in 0..3 {
        assert_eq!(budget.next(0, &human), Next::Send(Class::Human));
        budget.accepted(0);
    }
    assert!(budget.is_short());
    assert_eq!(budget.next(0, &Heads::default()), Next::Idle);
    assert_eq!(budget.next(0, &heads([(Class::Human, 99_000)])), Next::Wait { until: 99_000, why: Why::Due });
}

#[test]
fn replies_announcements_and_card_edits_leave_room_for_ends() {
    for class in [Class::Reply, Class::Announcement, Class::Progress] {
        let mut budget = Budget::new(0);
        let mut sent = 0;
        while let Next::Send(_) = budget.next(0, &heads([(class, 0)])) {
            budget.accepted(0);
            sent += 1;
        }
        assert_eq!(sent, 5, "{class:?}");
        let end = heads([(class, 0), (Class::Journal, 0)]);
        assert_eq!(budget.next(0, &end), Next::Send(Class::Journal));
    }
}

/// A journal's parts may use all but what is kept for humans; the end of a run is complete at once all the same, and a
/// question then rings.
#[test]
fn the_end_of_a_run_may_use_what_is_kept_back_but_for_one_message() {
    let mut budget = Budget::new(0);
    while let Next::Send(_) = budget.next(0, &heads([(Class::Journal, 0)])) {
        budget.accepted(0);
    }
    assert_eq!(budget.left(), 3);
    let end = heads([(Class::End, 0), (Class::Journal, 0), (Class::Terminal, 0)]);
    for _ in 0..2 {
        assert_eq!(budget.next(0, &end), Next::Send(Class::End));
        budget.accepted(0);
    }
    assert_eq!(budget.next(0, &end), Next::Wait { until: 5000, why: Why::Allowance });
    let question = heads([(Class::Human, 0), (Class::End, 0)]);
    assert_eq!(budget.next(0, &question), Next::Send(Class::Human));
}

/// Somebody sends a command every 6 s, whose reply takes a message; runs end now and then.
#[test]
fn the_end_of_a_journal_waits_for_no_replies() {
    const RUN: usize = 2;
    const END: usize = 3;
    const REPLY: usize = 4;
    let mut arrivals: Vec<(i64, usize)> = (0..600).map(|n| (n * 6_000, REPLY)).collect();
    // Each run has a card and a journal, and then an edit, a summary and two small events.
    for run in 1..30 {
        let ended = run * 120_000;
        arrivals.extend([(ended, RUN), (ended, RUN)]);
        arrivals.extend([(ended, END); 4]);
    }
    arrivals.sort_unstable();
    let (mut budget, mut server) = (Budget::new(0), Homeserver::new(10.0, 0.2));
    let (left, latest) = {
        let mut latest = 0;
        let left = play_with(&mut budget, &mut server, &arrivals, 3_600_000, |class, waited| {
            if class == Class::Journal {
                latest = latest.max(waited);
            }
        });
        (left, latest)
    };
    assert!(latest <= 10_000, "a journal waited for {latest} ms");
    assert!(left.0[RUN].is_empty());
    assert!(server.refused <= 5, "{}", server.refused);
}

#[test]
fn a_refusal_says_when_and_bounds_the_rate() {
    let mut budget = Budget::new(0);
    let human = heads([(Class::Human, 0)]);
    assert_eq!(budget.next(0, &human), Next::Send(Class::Human));
    budget.refused(0, Some(20_000));
    assert_eq!(budget.learned().per_1000_s, 50);
    assert_eq!(budget.next(0, &human), Next::Wait { until: 20_050, why: Why::Refused });
    assert_eq!(budget.next(20_050, &human), Next::Send(Class::Human));
    budget.accepted(20_050);
    let later = Budget::new(0).remembering(budget.learned());
    assert_eq!(later.learned(), budget.learned());
    for odd in [None, Some(0), Some(u64::MAX)] {
        let mut budget = Budget::new(0);
        assert_eq!(budget.next(0, &human), Next::Send(Class::Human));
        budget.refused(0, odd);
        let Next::Wait { until, .. } = budget.next(0, &human) else { panic!("{odd:?}") };
        assert!((1..=RETRY_MAX_MS + MARGIN_MS).contains(&until), "{odd:?} {until}");
    }
}

#[test]
fn lifted_limits_are_noticed_and_so_is_their_return() {
    let mut budget = Budget::new(0);
    let mut generous = Homeserver::new(10_000.0, 1000.0);
    let arrivals: Vec<(i64, usize)> = (0..2000).map(|n| (n * 200, 3)).collect();
    let (left, _) = play(&mut budget, &mut generous, &arrivals, 400_000);
    assert_eq!((left.0[3].len(), generous.refused), (0, 0));
    assert!(budget.learned().per_1000_s >= 5000, "{:?}", budget.learned());
    assert!(!budget.is_short());

    let mut strict = Homeserver::new(10.0, 0.2);
    let ends = heads([(Class::Terminal, 0)]);
    let mut now = 400_000;
    strict.at = now;
    while now < 1_000_000 {
        match budget.next(now, &ends) {
            Next::Send(_) => {
                send(&mut budget, &mut strict, now);
            }
            Next::Wait { until, .. } => now = until,
            Next::Idle => unreachable!(),
        }
    }
    assert!(strict.refused <= 12, "{}", strict.refused);
    assert!(budget.learned().per_1000_s <= 400, "{:?}", budget.learned());
}

#[test]
fn another_program_that_eats_the_burst_costs_no_more_than_waiting() {
    let mut budget = Budget::new(0);
    let mut server = Homeserver::new(10.0, 0.2);
    server.tokens = 0.0;
    let (left, waits) = play(&mut budget, &mut server, &[(0, 0), (0, 2)], 60_000);
    assert!(left.0.iter().all(Vec::is_empty));
    assert_eq!(waits, [5050]);
    assert_eq!(server.refused, 1);
}

#[test]
fn what_another_program_took_is_forgotten() {
    let mut budget = Budget::new(0);
    let human = heads([(Class::Human, 0)]);
    assert_eq!(budget.next(0, &human), Next::Send(Class::Human));
    budget.refused(0, Some(60_000));
    assert_eq!(budget.learned().per_1000_s, 16);
    assert!(matches!(budget.next(599_000, &Heads::default()), Next::Idle));
    assert_eq!(budget.learned().per_1000_s, 16);
    assert!(matches!(budget.next(600_000, &Heads::default()), Next::Idle));
    assert_eq!(budget.learned().per_1000_s, 200);
}

/// Others have always something to send; somebody is waited for every 17 s, for an hour.
#[test]
fn a_crowded_account_still_has_room_for_questions() {
    let mut arrivals: Vec<(i64, usize)> = (0..3600).map(|n| (n * 1000, 2)).collect();
    arrivals.extend((1..200).map(|n| (n * 17_000 + n % 1000, 0)));
    arrivals.sort_unstable();
    let mut server = Homeserver::new(10.0, 0.2);
    let (_, waits) = play(&mut Budget::new(0), &mut server, &arrivals, 3_600_000);
    let late = waits.iter().filter(|wait| **wait > 1000).count();
    assert_eq!(waits.len(), 199);
    assert!(late <= 3, "{late} of {} waited for more than a second: {waits:?}", waits.len());
    assert!(server.refused <= 5, "{}", server.refused);
    assert!(server.taken > 700, "and the others get the rest: {}", server.taken);
}

/// A run of a thousand tasks in a minute: its card, the ends of its tasks in batches, a summary.
#[test]
fn a_thousand_tasks_in_a_minute_take_less_than_half_of_the_allowance() {
    const END: i64 = 60_000;
    let mut budget = Budget::new(0);
    let mut server = Homeserver::new(10.0, 0.2);
    let (mut card, mut ends) = (Pace::card(500), Pace::ends(500));
    let (mut batched, mut told, mut summary) = (0, 0, false);
    let mut now = 0;
    let mut next_end = 0;
    card.changed(0);
    loop {
        while next_end <= now.min(END) && batched + told < 1000 {
            batched += 1;
            next_end += END / 1000;
            card.changed(now);
            ends.changed(now);
        }
        let over = now >= END;
        if over && !summary {
            summary = true;
            card.ended(now);
            ends.ended(now);
        }
        let short = budget.is_short();
        // The last edit of a card is an end itself.
        let of_card = if over { Class::Terminal } else { Class::Progress };
        let due = [(Class::Terminal, ends.due(short)), (of_card, card.due(short))];
        let heads: Heads = due.into_iter().filter_map(|(class, due)| Some((class, due?))).collect();
        match budget.next(now, &heads) {
            Next::Send(class) => {
                assert!(send(&mut budget, &mut server, now));
                let short = budget.is_short();
                let ends_go = class == Class::Terminal && ends.due(short).is_some();
                if ends_go {
                    (told, batched) = (told + batched, 0);
                    ends.told(now, short);
                } else {
                    card.told(now, short);
                }
            }
            Next::Idle if over => break,
            Next::Idle => now = next_end,
            Next::Wait { until, .. } if over => now = until,
            Next::Wait { until, .. } => now = until.min(next_end),
        }
    }
    assert_eq!(told, 1000);
    assert_eq!(server.refused, 0);
    // 10 + 0.2 a second for 60 s are 22; one more is the summary in the thread.
    assert!(server.taken < 11, "{} messages", server.taken);
    assert!(now <= END + 15_000, "complete at {now}");
}

fn arrivals(classes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(i64, usize)>> {
    prop::collection::vec((0i64..3_600_000, classes), 0..600).prop_map(|mut all| {
        all.sort_unstable();
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes when: what is sent is taken, but for the few tries of the limit.
    #[test]
    fn the_allowance_is_not_exceeded(arrivals in arrivals(0..7), way_max_ms in 0i64..300) {
        let mut server = Homeserver::new(10.0, 0.2);
        server.way_max_ms = way_max_ms;
        play(&mut Budget::new(0), &mut server, &arrivals, 7_200_000);
        prop_assert!(server.refused <= 6 + server.taken / 50, "{} refused, {} taken", server.refused, server.taken);
    }

    /// The same of homeservers with other limits than thought.
    #[test]
    fn other_limits_are_learned(arrivals in arrivals(0..7), burst in 4u32..50, per_1000_s in 20u32..5000) {
        let mut server = Homeserver::new(f64::from(burst), f64::from(per_1000_s) / 1000.0);
        play(&mut Budget::new(0), &mut server, &arrivals, 3_600_000);
        // A slow rate is forgotten after 10 minutes, six times here, and learned again.
        let few = 16 + server.taken / 20;
        prop_assert!(server.refused <= few, "{} refused, {} taken", server.refused, server.taken);
    }

    /// However many others there are, a message that a human waits for now and then goes at once.
    #[test]
    fn others_do_not_delay_what_a_human_waits_for(
        others in arrivals(1..7),
        humans in prop::collection::vec(0i64..3_600_000, 1..20),
    ) {
        // Not more than one in 20 s, from a minute on.
        let mut at = 60_000;
        let mut all = others;
        for pause in humans {
            all.push((at, 0));
            at += 20_000 + pause % 100_000;
        }
        all.sort_unstable();
        let mut server = Homeserver::new(10.0, 0.2);
        let (_, waits) = play(&mut Budget::new(0), &mut server, &all, 7_200_000);
        let late = waits.iter().filter(|wait| **wait > 0).count();
        prop_assert!(late <= waits.len() / 5 + 2, "{late} of {} waited: {waits:?}", waits.len());
    }

    /// No refusal and no clock makes it panic, wait for ever, or turn without end.
    #[test]
    fn odd_homeservers_and_clocks(steps in prop::collection::vec((any::<i32>(), 0u8..4, prop::option::of(any::<u64>())), 0..100)) {
        let mut budget = Budget::new(0);
        let heads = heads([(Class::Human, 0), (Class::Terminal, 5), (Class::Progress, 9)]);
        let mut now = 1i64 << 50;
        for (step, outcome, retry) in steps {
            now += i64::from(step);
            match budget.next(now, &heads) {
                Next::Send(_) => match outcome {
                    0 | 1 => budget.accepted(now),
                    2 => budget.refused(now, retry),
                    _ => budget.unsent(now),
                },
                Next::Wait { until, .. } => prop_assert!(until > now && until - now <= 20 * 60_000, "{}", until - now),
                Next::Idle => prop_assert!(false),
            }
        }
    }
}

#[test]
fn what_was_not_sent_after_all_costs_nothing() {
    let mut budget = Budget::new(0);
    let ends = heads([(Class::Terminal, 0)]);
    for _ in 0..100 {
        assert_eq!(budget.next(0, &ends), Next::Send(Class::Terminal));
        budget.spared(0);
    }
    assert_eq!(budget.left(), 10);
    assert_eq!(budget.next(0, &ends), Next::Send(Class::Terminal));
    budget.accepted(0);
    assert_eq!(budget.left(), 9);
}
