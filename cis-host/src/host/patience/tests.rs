//! Time goes by for a session, on a clock of numbers.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::Io;
use cis_core::ids::SessionId;

const NOTHING: Seen = Seen { cpu: 1, processes: 1 };

fn patience(idle_ms: Option<u64>, timeout_ms: Option<u64>, warn_ms: Option<u64>) -> Option<Box<Patience>> {
    let start = Start {
        session: SessionId::from_parts(1, 1),
        label: String::new(),
        argv: Vec::new(),
        cwd: String::new(),
        env_base: None,
        env: BTreeMap::new(),
        umask: None,
        line: None,
        io: Io::Pipes { stdin: false },
        log: String::new(),
        log_limit_bytes: 0,
        timeout_ms,
        idle_ms,
        warn_ms,
        grace_ms: 0,
        files: BTreeMap::new(),
        stdin: None,
        lease: None,
    };
    Patience::of(&start, 0)
}

/// Lives through time until the end. `bytes`: when some came; `busy`: when CPU time was used. Gives
/// the warnings (when, and for when), the end, and how often was looked.
fn live(
    patience: &mut Patience,
    bytes: &[u64],
    busy: impl Fn(u64) -> bool,
    until: u64,
) -> (Vec<(u64, u64)>, Option<u64>, usize) {
    let (mut warnings, mut looks, mut cpu, mut used_to) = (Vec::new(), 0, 0, 0);
    let mut now = 0;
    loop {
        let bytes_at = bytes.iter().copied().filter(|at| *at <= now).max().unwrap_or(0);
        let Some(wake) = patience.idle_wake(bytes_at) else { return (warnings, None, looks) };
        if wake > now {
            // A wake-up that is not true any more is found out when it comes.
            now = wake;
            if now > until {
                return (warnings, None, looks);
            }
            continue;
        }
        match patience.due(now, bytes_at, None) {
            Due::Nothing => panic!("woken for nothing at {now}: {patience:?}"),
            Due::Look => {
                looks += 1;
                cpu += (used_to..now).filter(|at| busy(*at)).count() as u64;
                used_to = now;
                patience.saw(now, Seen { cpu, ..NOTHING });
            }
            Due::Warn(limit, at) => {
                warnings.push((now, at));
                patience.warned(limit, bytes_at, at);
            }
            Due::End => return (warnings, Some(now), looks),
        }
    }
}

#[test]
fn an_idle_session_is_warned_and_ends_within_an_eighth_of_its_limit() {
    let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
    let (warnings, end, looks) = live(&mut idle, &[], |_| false, 100_000);
    assert_eq!((warnings, end), (vec![(7000, 9000)], Some(9000)), "looked at first after 1000");
    assert!(looks <= 10, "{looks}");
    let mut short = patience(Some(3000), None, Some(2000)).unwrap();
    let (warnings, end, _) = live(&mut short, &[], |_| false, 100_000);
    assert!(warnings.is_empty() && end.is_some_and(|end| (3000..=3400).contains(&end)), "{end:?}");
}

#[test]
fn bytes_and_cpu_time_are_activity() {
    let mut typed = patience(Some(8000), None, None).unwrap();
    let bytes: Vec<u64> = (0..10).map(|n| n * 5000).collect();
    let (_, end, _) = live(&mut typed, &bytes, |_| false, 1_000_000);
    assert!(end.is_some_and(|end| (53_000..=54_000).contains(&end)), "{end:?}");
    let mut busy = patience(Some(8000), None, None).unwrap();
    let (_, end, _) = live(&mut busy, &[], |at| at < 20_000, 1_000_000);
    assert!(end.is_some_and(|end| (28_000..=29_000).contains(&end)), "{end:?}");
    let mut endless = patience(Some(8000), None, None).unwrap();
    let (_, end, _) = live(&mut endless, &[], |at| at % 7000 == 0, 200_000);
    assert_eq!(end, None);
}

#[test]
fn activity_after_a_warning_takes_it_back_and_the_next_end_is_warned_of_anew() {
    let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
    let (warnings, end, _) = live(&mut idle, &[0, 8500], |_| false, 1_000_000);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(end.is_some_and(|end| (16_500..=17_500).contains(&end)), "{end:?}");
}

#[test]
fn who_waits_for_a_human_is_not_idle_and_has_its_whole_time_afterwards() {
    let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
    let (warnings, _, _) = live(&mut idle, &[], |_| false, 7500);
    assert_eq!(warnings, [(7000, 9000)]);
    idle.unsaid = Some((SessionLimit::Idle, 9000));
    idle.wait(7600, true);
    assert_eq!((idle.idle_wake(0), idle.warned_idle, idle.unsaid), (None, None, None));
    assert_eq!(idle.due(9000, 0, None), Due::Nothing);
    idle.wait(50_000, true);
    idle.wait(60_000, false);
    idle.wait(65_000, false);
    let (warnings, end, _) = live(&mut idle, &[], |_| false, 1_000_000);
    assert!(warnings.iter().all(|(at, _)| *at >= 66_000) && !warnings.is_empty(), "{warnings:?}");
    assert!(end.is_some_and(|end| (68_000..=69_000).contains(&end)), "{end:?}");
}

#[test]
fn what_is_frozen_is_not_idle_and_has_its_whole_time_once_it_goes_on() {
    let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
    let (warnings, _, _) = live(&mut idle, &[], |_| false, 7500);
    assert_eq!(warnings, [(7000, 9000)]);
    idle.unsaid = Some((SessionLimit::Idle, 9000));
    idle.freeze(7600, true);
    assert_eq!((idle.idle_wake(0), idle.warned_idle, idle.unsaid), (None, None, None));
    assert_eq!(idle.due(9000, 0, None), Due::Nothing);
    idle.wait(50_000, true);
    idle.wait(55_000, false);
    assert_eq!(idle.idle_wake(0), None, "it is still frozen");
    idle.freeze(60_000, false);
    let (warnings, end, _) = live(&mut idle, &[], |_| false, 1_000_000);
    assert!(warnings.iter().all(|(at, _)| *at >= 66_000) && !warnings.is_empty(), "{warnings:?}");
    assert!(end.is_some_and(|end| (68_000..=69_000).contains(&end)), "{end:?}");
}

#[test]
fn who_sleeps_with_the_machine_is_still_warned_in_time() {
    let mut idle = patience(Some(8000), None, Some(2000)).unwrap();
    idle.saw(1000, NOTHING);
    idle.saw(90_000, NOTHING);
    assert_eq!(idle.due(90_000, 0, None), Due::Warn(SessionLimit::Idle, 92_000));
    idle.warned(SessionLimit::Idle, 0, 92_000);
    assert_eq!(idle.idle_wake(0), Some(92_000));
}

#[test]
fn a_timeout_is_warned_of_once_where_it_is_long_enough() {
    assert!(patience(None, Some(60_000), Some(30_000)).is_none(), "nothing to think about");
    assert!(patience(None, Some(60_000), None).is_none());
    let mut long = patience(None, Some(61_000), Some(30_000)).unwrap();
    assert_eq!(long.due(30_000, 0, Some(61_000)), Due::Nothing);
    assert_eq!(long.due(31_000, 0, Some(61_000)), Due::Warn(SessionLimit::Lifetime, 61_000));
    long.warned(SessionLimit::Lifetime, 0, 61_000);
    assert_eq!(long.due(60_000, 0, Some(61_000)), Due::Nothing);
    assert_eq!(long.timeout_warning(Some(61_000)), None);
}
