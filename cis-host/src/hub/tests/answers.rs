//! Answers to prompts: typed once, into the prompt that they are for, or not at all.

use std::sync::mpsc;

use tokio::task::JoinHandle;

use super::peer::{Conn, Peer, Said, Watcher, id, soon, typing};
use super::*;
use crate::protocol::{FromHost, ToHost};
use cis_core::api::InputReceipt;
use cis_core::monitor::{Change, KernelEvidence, Modes, Profile, Reader, ReaderHow, Seed, Verdict};

/// A hub that monitors session 1, and what it sees.
struct Stage {
    _peer: Peer,
    hub: Hub,
    host: Conn,
    seen: mpsc::Receiver<Sighting>,
    output: u64,
    /// What came from the hub as input, bytes.
    typed: u64,
    modes: Modes,
    /// Between two looks that find the program reading, so many find it at work.
    busy_looks: u32,
    looks: u32,
}

fn moved(session: SessionId, input: InputId, output_bytes: u64) -> FromHost {
    FromHost::InputMoved { session, input, output_bytes, input_bytes: None }
}

fn waiting_reader(output_bytes: u64, modes: Modes) -> KernelEvidence {
    let modes = Some(modes);
    KernelEvidence {
        at_ms: 0,
        output_bytes,
        quiet_ms: 1500,
        modes,
        foreground: vec!["sh".to_owned()],
        opaque: false,
        readers: vec![Reader::new(7, "sh", ReaderHow::Read, modes)],
        beside: 0,
        inside_opaque: false,
        cpu_ms: 1,
        processes: 1,
    }
}

impl Stage {
    async fn new(seed: Seed) -> Self {
        let peer = Peer::new();
        let (tell, seen) = mpsc::channel();
        let hub = peer.watched(move |sighting| drop(tell.send(sighting)));
        let mut host = peer.accept().await;
        let monitor = Some(Monitoring { profile: Profile::plain(), seed });
        hub.open(SessionInfo { monitor, ..peer.info(1) });
        host.expect_watch(1, 0).await;
        Self {
            _peer: peer,
            hub,
            host,
            seen,
            output: 0,
            typed: 0,
            modes: Modes { canonical: true, echo: true },
            busy_looks: 0,
            looks: 0,
        }
    }

    /// What the kernel shows.
    fn evidence(&mut self) -> KernelEvidence {
        self.looks += 1;
        let mut evidence = waiting_reader(self.output, self.modes);
        // Who reads what was typed works meanwhile.
        evidence.cpu_ms += self.typed;
        if !self.looks.is_multiple_of(self.busy_looks + 1) {
            evidence.readers.clear();
        }
        evidence
    }

    async fn prints(&mut self, text: &str) {
        self.host.output(1, self.output, text).await;
        self.output += text.len() as u64;
    }

    /// Answers probes, where one is waited for, as a program that reads its terminal.
    async fn verdict(&mut self) -> Verdict {
        loop {
            if let Ok(Sighting { change: Change::Blocked(verdict), .. }) = self.seen.try_recv() {
                return *verdict;
            }
            match soon(self.host.heard()).await {
                Said::Message(ToHost::Probe { session }) => {
                    let evidence = self.evidence();
                    self.host
                        .say(&FromHost::Probed {
                            session,
                            evidence,
                            input_bytes: Some(self.typed),
                            line_begun: false,
                        })
                        .await;
                    // What it makes of it is done in the turn that answers this.
                    soon(self.hub.explain(id(1))).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&self, verdict: &Verdict, n: u128, text: &str) -> JoinHandle<Result<InputReceipt, HubError>> {
        self.send(verdict, n, text, false)
    }

    /// Sends an answer that was sent before.
    fn answer_again(
        &self,
        verdict: &Verdict,
        n: u128,
        text: &str,
    ) -> JoinHandle<Result<InputReceipt, HubError>> {
        self.send(verdict, n, text, true)
    }

    fn send(
        &self,
        verdict: &Verdict,
        n: u128,
        text: &str,
        repeated: bool,
    ) -> JoinHandle<Result<InputReceipt, HubError>> {
        let (hub, input) = (self.hub.clone(), InputId::from_parts(1, n));
        let (episode, hash) = (verdict.episode, verdict.hash.clone());
        let answer = Answer {
            session: id(1),
            episode,
            hash,
            input,
            bytes: text.as_bytes().to_vec(),
            is_line: false,
            again: false,
            repeated,
            by_default: false,
        };
        tokio::spawn(async move { hub.answer(answer).await })
    }

    /// The next thing that is not a probe. Probes are answered as by a program that reads.
    async fn heard(&mut self) -> Said {
        loop {
            match self.host.heard().await {
                Said::Message(ToHost::Probe { session }) => {
                    let evidence = self.evidence();
                    let input_bytes = Some(self.typed);
                    self.host
                        .say(&FromHost::Probed { session, evidence, input_bytes, line_begun: false })
                        .await;
                }
                other => return other,
            }
        }
    }

    /// The rest of an answer: its input. Probes are answered as by a program that reads.
    async fn expect_rest(&mut self, text: &str) -> InputId {
        loop {
            match soon(self.host.heard()).await {
                Said::Message(ToHost::Probe { session }) => {
                    let evidence = self.evidence();
                    let input_bytes = Some(self.typed);
                    self.host
                        .say(&FromHost::Probed { session, evidence, input_bytes, line_begun: false })
                        .await;
                }
                Said::Message(ToHost::InputAt { input, output_bytes, .. }) => {
                    assert_eq!(output_bytes, self.output);
                    assert_eq!(self.heard().await, Said::Typed(id(1), text.as_bytes().to_vec()));
                    self.typed += text.len() as u64;
                    return input;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn expect_answer(&mut self, n: u128, text: &str) {
        let (input, output_bytes) = (InputId::from_parts(1, n), self.output);
        let named = ToHost::InputAt { session: id(1), input, output_bytes, input_bytes: Some(self.typed) };
        assert_eq!(self.heard().await, Said::Message(named));
        assert_eq!(self.heard().await, Said::Typed(id(1), text.as_bytes().to_vec()));
        self.typed += text.len() as u64;
    }

    async fn says(&mut self, what: impl FnOnce(SessionId, InputId) -> FromHost, n: u128) {
        let message = what(id(1), InputId::from_parts(1, n));
        self.host.say(&message).await;
    }
}

#[tokio::test]
async fn the_first_answer_of_a_prompt_is_typed_and_no_other() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    assert_eq!(verdict.episode, 1);
    let first = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    let second = soon(stage.answer(&verdict, 2, "n\r")).await.unwrap();
    assert_eq!(second, Err(HubError::Answered { id: id(1) }));
    // The same one again is for the host to know.
    let again = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    let output_bytes = stage.output;
    stage.says(|session, input| FromHost::Written { session, input, output_bytes }, 1).await;
    let receipt = Ok(InputReceipt { output_offset: output_bytes });
    assert_eq!(soon(first).await.unwrap(), receipt);
    assert_eq!(soon(again).await.unwrap(), receipt);
}

/// Programs that ask for keys as ncurses does take no others.
#[tokio::test]
async fn arrows_are_sent_as_the_program_asked_for_them() {
    for (asks, typed) in
        [("", "\x1b[B\x1b[H\r"), ("\x1b[?1h", "\x1bOB\x1bOH\r"), ("\x1b[?1h\x1b[?1l", "\x1b[B\x1b[H\r")]
    {
        let mut stage = Stage::new(Seed::default()).await;
        stage.prints(&format!("{asks}Proceed? [y/N] ")).await;
        let verdict = stage.verdict().await;
        let _answer = stage.answer(&verdict, 1, "\x1b[B\x1b[H\r");
        stage.expect_answer(1, typed).await;
    }
}

#[tokio::test]
async fn an_answer_to_another_prompt_is_refused_with_what_is_there() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let wrong = Verdict { episode: 7, ..verdict.clone() };
    let refused = soon(stage.answer(&wrong, 1, "y\r")).await.unwrap();
    assert_eq!(refused, Err(HubError::PromptMoved { id: id(1), screen: "Proceed? [y/N]".to_owned() }));
    let wrong = Verdict { hash: "0123456789abcdef".to_owned(), ..verdict.clone() };
    let refused = soon(stage.answer(&wrong, 2, "y\r")).await.unwrap();
    assert!(matches!(refused, Err(HubError::PromptMoved { .. })), "{refused:?}");
    // It was in nobody's way.
    let right = stage.answer(&verdict, 3, "y\r");
    stage.expect_answer(3, "y\r").await;
    stage.says(|session, input| FromHost::Written { session, input, output_bytes: 1 }, 3).await;
    soon(right).await.unwrap().unwrap();
}

#[tokio::test]
async fn output_that_the_hub_has_not_judged_is_judged_before_the_answer_is_sent_again() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("\x1b[6;38H⠋\x1b[3;1HProceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    // The host has read more meanwhile: a spinner far from the prompt, which stands as it was.
    let spin = "\x1b7\x1b[6;38H⠙\x1b8";
    let output_bytes = stage.output + spin.len() as u64;
    stage.says(|session, input| moved(session, input, output_bytes), 1).await;
    stage.prints(spin).await;
    stage.expect_answer(1, "y\r").await;
    // And now the prompt is another one.
    let next = "\r\n\x1b[2JDelete everything? [y/N] ";
    let output_bytes = stage.output + next.len() as u64;
    stage.says(|session, input| moved(session, input, output_bytes), 1).await;
    stage.prints(next).await;
    let outcome = soon(answer).await.unwrap();
    let Err(HubError::PromptMoved { screen, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(screen.contains("Delete everything?"), "{screen}");
}

#[tokio::test]
async fn a_host_that_goes_away_leaves_it_open_whether_it_was_typed() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Name: ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "x\r");
    stage.expect_answer(1, "x\r").await;
    let Stage { hub, host, _peer: peer, .. } = stage;
    drop(host);
    assert!(matches!(soon(answer).await.unwrap(), Err(HubError::HostLost { .. })));
    let (again, _) = tokio::join!(hub.reconnect(), peer.accept());
    again.unwrap();
    drop(hub);
}

#[tokio::test]
async fn the_prompt_of_an_earlier_life_is_not_told_again() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let seed = Seed { episode: 4, waiting: Some(verdict.hash.clone()), ..Seed::default() };
    let mut after = Stage::new(seed).await;
    after.prints("Proceed? [y/N] ").await;
    let Said::Message(ToHost::Probe { session }) = after.host.heard().await else { panic!("no probe") };
    let evidence = waiting_reader(after.output, after.modes);
    after.host.say(&FromHost::Probed { session, evidence, input_bytes: Some(0), line_begun: false }).await;
    soon(async {
        while after.hub.explain(id(1)).await.unwrap().verdict.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let known = after.hub.explain(id(1)).await.unwrap().verdict.unwrap();
    assert_eq!((known.episode, &known.hash), (4, &verdict.hash));
    assert!(after.seen.try_recv().is_err(), "nothing is told");
    // It can be answered.
    let answer = after.answer(&known, 1, "y\r");
    after.expect_answer(1, "y\r").await;
    after.says(|session, input| FromHost::Written { session, input, output_bytes: 1 }, 1).await;
    soon(answer).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_waits_for_the_first_look_at_the_prompt_of_an_earlier_life() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let known = Verdict { episode: 4, ..stage.verdict().await };
    let seed = Seed { episode: 4, waiting: Some(known.hash.clone()), ..Seed::default() };
    let mut after = Stage::new(seed.clone()).await;
    // Nothing is known of its screen yet.
    let answer = after.answer(&known, 1, "y\r");
    after.prints("Proceed? [y/N] ").await;
    let Said::Message(ToHost::Probe { session }) = after.host.heard().await else { panic!("no probe") };
    let evidence = waiting_reader(after.output, after.modes);
    after.host.say(&FromHost::Probed { session, evidence, input_bytes: Some(0), line_begun: false }).await;
    after.expect_answer(1, "y\r").await;
    after.says(|session, input| FromHost::Written { session, input, output_bytes: 1 }, 1).await;
    soon(answer).await.unwrap().unwrap();
    // Where another prompt is found, nothing is typed.
    let mut other = Stage::new(seed).await;
    let answer = other.answer(&known, 1, "y\r");
    other.prints("Delete everything? [y/N] ").await;
    assert_ne!(other.verdict().await.hash, known.hash);
    let outcome = soon(answer).await.unwrap();
    let Err(HubError::PromptMoved { screen, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(screen.contains("Delete everything?"), "{screen}");
}

/// An earlier life of the node may have typed it.
#[tokio::test]
async fn of_an_answer_that_comes_again_nobody_says_that_nothing_was_typed() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let known = Verdict { episode: 4, ..stage.verdict().await };
    let seed = Seed { episode: 4, waiting: Some(known.hash.clone()), ..Seed::default() };
    let mut after = Stage::new(seed).await;
    let answer = after.answer_again(&known, 1, "y\r");
    after.prints("Delete everything? [y/N] ").await;
    assert_ne!(after.verdict().await.hash, known.hash);
    let outcome = soon(answer).await.unwrap();
    assert_eq!(outcome, Err(HubError::Unknown { id: id(1) }));
    assert!(outcome.unwrap_err().may_have_typed());
}

/// It is the same request, whatever stands there now.
#[tokio::test]
async fn an_answer_that_was_typed_is_told_so_again() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let first = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    stage.says(|session, input| FromHost::Written { session, input, output_bytes: 1 }, 1).await;
    let receipt = soon(first).await.unwrap();
    assert!(receipt.is_ok(), "{receipt:?}");
    stage.prints("\r\nDelete everything? [y/N] ").await;
    stage.verdict().await;
    assert_eq!(soon(stage.answer_again(&verdict, 1, "y\r")).await.unwrap(), receipt);
}

#[test]
fn an_answer_that_was_recorded_before_may_have_been_typed() {
    let gone = HubError::NoSuchSession { id: id(1) };
    assert!(!gone.may_have_typed());
    assert_eq!(gone.of_repeated(id(1)), HubError::Unknown { id: id(1) });
    assert_eq!(HubError::Stopped.of_repeated(id(1)), HubError::Stopped);
}

#[tokio::test]
async fn secrets_and_sequences_leave_no_sighting() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("\x1b]0;hunter2-hunter2\x07token hunter2-hunter2\x1b[31m: ok?\u{202e} ").await;
    let verdict = stage.verdict().await;
    let said = format!("{verdict:?} {:?}", stage.hub.explain(id(1)).await.unwrap());
    assert!(
        !said.contains("hunter2-hunter2") && !said.contains('\x1b') && !said.contains('\u{202e}'),
        "{said}"
    );
}

#[tokio::test]
async fn an_answer_does_not_follow_what_somebody_types() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let viewer = Watcher::new(&stage.hub, 1, typing(40, 6)).await;
    // A terminal that comes to the front is nobody who types.
    viewer.attached.typing().type_bytes(b"\x1b[I").await.unwrap();
    assert_eq!(stage.heard().await, Said::Typed(id(1), b"\x1b[I".to_vec()));
    stage.typed = 3;
    let first = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    stage
        .says(|session, input| FromHost::InputRefused { session, input: Some(input), waiting_bytes: 1 }, 1)
        .await;
    assert!(matches!(soon(first).await.unwrap(), Err(HubError::InputRefused { .. })));
    // Nothing of it is shown yet.
    viewer.attached.typing().type_bytes(b"no").await.unwrap();
    assert_eq!(stage.heard().await, Said::Typed(id(1), b"no".to_vec()));
    let second = soon(stage.answer(&verdict, 2, "y\r")).await.unwrap();
    assert_eq!(second, Err(HubError::Typed { id: id(1) }));
}

#[tokio::test]
async fn an_answer_does_not_follow_what_somebody_typed_elsewhere() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    let output_bytes = stage.output;
    let more = |session, input| FromHost::InputMoved { session, input, output_bytes, input_bytes: Some(2) };
    stage.says(more, 1).await;
    assert_eq!(soon(answer).await.unwrap(), Err(HubError::Typed { id: id(1) }));
    let second = soon(stage.answer(&verdict, 2, "y\r")).await.unwrap();
    assert_eq!(second, Err(HubError::Typed { id: id(1) }));
}

#[tokio::test]
async fn who_read_before_more_output_came_says_nothing_of_what_is_shown_then() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Name: ").await;
    let Said::Message(ToHost::Probe { session }) = stage.host.heard().await else { panic!("no probe") };
    // The evidence is of the whole output, of which the hub gets a part, and then more at once.
    let evidence = waiting_reader(stage.output + 8, stage.modes);
    stage.host.say(&FromHost::Probed { session, evidence, input_bytes: Some(0), line_begun: false }).await;
    stage.prints("x\r\nStreet and number: ").await;
    // It asks again, and believes nothing of before.
    let verdict = stage.verdict().await;
    assert_eq!(verdict.question, "Street and number:");
    assert_eq!(verdict.episode, 1);
}

/// The node hears of a session's end on another connection than the one that brings what became of answers.
#[tokio::test]
async fn what_was_typed_before_the_end_counts_though_the_end_is_known_first() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints("Proceed? [y/N] ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "y\r");
    stage.expect_answer(1, "y\r").await;
    let typed = InputId::from_parts(1, 9);
    let input = {
        let hub = stage.hub.clone();
        tokio::spawn(async move { hub.input(id(1), typed, b"more".to_vec()).await })
    };
    assert_eq!(stage.heard().await, Said::Message(ToHost::Input { session: id(1), input: typed }));
    assert_eq!(stage.heard().await, Said::Typed(id(1), b"more".to_vec()));
    stage.hub.close(id(1), Ended { detail: "exit code 0".to_owned(), exit_code: Some(0) });
    // The hub has taken that in.
    let _ = soon(stage.hub.explain(id(1))).await;
    let output_bytes = stage.output;
    for n in [1, 9] {
        stage.says(|session, input| FromHost::Written { session, input, output_bytes }, n).await;
    }
    let receipt = Ok(InputReceipt { output_offset: output_bytes });
    assert_eq!(soon(answer).await.unwrap(), receipt);
    assert_eq!(soon(input).await.unwrap(), receipt);
    stage.host.exited(1, 0).await;
    until_counts(&stage.hub, |counts| counts.sessions == 0).await;
}

#[tokio::test]
async fn an_answer_to_a_menu_is_not_typed_at_the_menu_of_another_command() {
    let menu = |command: &str| {
        format!(
            "\x1b[H\x1b[2JCommand: {command}\r\n\r\nDo you want to proceed?\r\n\u{276f} 1. Yes\r\n  2. No\r\n"
        )
    };
    let mut stage = Stage::new(Seed::default()).await;
    stage.prints(&menu("ls /tmp")).await;
    let verdict = stage.verdict().await;
    // The same menu drawn again is the same prompt.
    stage.prints(&menu("ls /tmp")).await;
    let first = stage.answer(&verdict, 1, "1\r");
    stage.expect_answer(1, "1\r").await;
    let output_bytes = stage.output;
    // The host has read more: the menu of another command, in the same place.
    let next = menu("rm -rf /home");
    stage.says(|session, input| moved(session, input, output_bytes + next.len() as u64), 1).await;
    stage.prints(&next).await;
    let outcome = soon(first).await.unwrap();
    let Err(HubError::PromptMoved { screen, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(screen.contains("rm -rf /home"), "{screen}");
    // Nor later: that is a prompt of its own.
    let second = soon(stage.answer(&verdict, 2, "1\r")).await.unwrap();
    assert!(matches!(second, Err(HubError::PromptMoved { .. })), "{second:?}");
    let other = stage.verdict().await;
    assert_eq!(other.episode, verdict.episode + 1);
    assert_ne!(other.hash, verdict.hash);
    let third = stage.answer(&other, 3, "1\r");
    stage.expect_answer(3, "1\r").await;
    stage.says(|session, input| FromHost::Written { session, input, output_bytes: 1 }, 3).await;
    soon(third).await.unwrap().unwrap();
}

/// A program in raw mode at its line; what the hub types there, a part after the other, and what it prints after each.
async fn typed_key_by_key(shows: &[(&str, &str)]) -> Vec<HubError> {
    let mut stage = Stage::new(Seed::default()).await;
    stage.modes = Modes { canonical: false, echo: false };
    stage.prints("Delete the cache? [y/N] ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "n\r");
    for (typed, printed) in shows {
        let input = stage.expect_rest(typed).await;
        let (session, output_bytes) = (id(1), stage.output);
        stage.host.say(&FromHost::Written { session, input, output_bytes }).await;
        stage.prints(printed).await;
    }
    soon(answer).await.unwrap().err().into_iter().collect()
}

#[tokio::test]
async fn the_second_key_of_an_answer_finds_no_other_question() {
    let errors = typed_key_by_key(&[("n", "n\r\nFormat the disk? [Y/n] ")]).await;
    assert_eq!(errors, [], "the first one was typed");
}

#[tokio::test]
async fn a_line_that_shows_the_first_key_gets_the_others() {
    let errors = typed_key_by_key(&[("n", "n"), ("\r", "\r\nFormat the disk? [Y/n] ")]).await;
    assert_eq!(errors, []);
}

#[tokio::test]
async fn a_choice_is_confirmed_only_where_the_pointer_went() {
    for (after, rest) in [("  test\r\n❯ production", "\r"), ("❯ test\r\n  production", "")] {
        let mut stage = Stage::new(Seed::default()).await;
        stage.modes = Modes { canonical: false, echo: false };
        stage.prints("\x1b[?25l? Where to:\r\n❯ test\r\n  production\r\n").await;
        let verdict = stage.verdict().await;
        let keys = verdict.options.iter().find(|option| option.label == "production").unwrap().keys.clone();
        assert_eq!(keys, "\x1b[B\r");
        let answer = stage.answer(&verdict, 1, &keys);
        stage.expect_answer(1, "\x1b[B").await;
        let output_bytes = stage.output;
        stage.says(|session, input| FromHost::Written { session, input, output_bytes }, 1).await;
        stage.prints(&format!("\x1b[2A\r{after}\r\n")).await;
        if rest.is_empty() {
            let refused = soon(answer).await.unwrap();
            assert_eq!(refused, Err(HubError::NotChosen { id: id(1) }));
            continue;
        }
        let input = stage.expect_rest(rest).await;
        let output_bytes = stage.output;
        stage.host.say(&FromHost::Written { session: id(1), input, output_bytes }).await;
        soon(answer).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_look_that_finds_a_busy_program_waiting_is_enough_for_the_rest() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.modes = Modes { canonical: false, echo: false };
    stage.prints("Delete the cache? [y/N] ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "n\r");
    let input = stage.expect_rest("n").await;
    let output_bytes = stage.output;
    stage.host.say(&FromHost::Written { session: id(1), input, output_bytes }).await;
    stage.prints("n").await;
    // It waits in one of five looks.
    stage.busy_looks = 4;
    let input = stage.expect_rest("\r").await;
    let output_bytes = stage.output;
    stage.host.say(&FromHost::Written { session: id(1), input, output_bytes }).await;
    assert!(soon(answer).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_somebody_types_between_the_parts_ends_an_answer() {
    let mut stage = Stage::new(Seed::default()).await;
    stage.modes = Modes { canonical: false, echo: false };
    stage.prints("Name: ").await;
    let verdict = stage.verdict().await;
    let answer = stage.answer(&verdict, 1, "bob\r");
    let input = stage.expect_rest("b").await;
    let viewer = Watcher::new(&stage.hub, 1, typing(40, 6)).await;
    viewer.attached.typing().type_bytes(b"\x7fx").await.unwrap();
    let output_bytes = stage.output;
    stage.host.say(&FromHost::Written { session: id(1), input, output_bytes }).await;
    stage.prints("x").await;
    assert_eq!(soon(answer).await.unwrap(), Err(HubError::TypedInPart { id: id(1) }));
}
