//! The hub against a scripted host on a real socket: what is said, and what viewers see.

mod answers;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use self::peer::{Peer, Said, Watcher, id, looking, size, soon, typing, until};
use super::*;
use crate::protocol::{FromHost, ToHost};
use cis_core::api::{AttachNotice, InputReceipt};
use cis_core::policy::redact::Mask;
use cis_core::terminal::sanitizer::{Form, Sanitizer};

#[tokio::test]
async fn a_session_is_watched_answered_shown_and_typed_into() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, "hello\r\n\x1b[c$ ").await;
    host.expect_typed(1, "\x1b[?62;22c").await;

    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    viewer.until_text("hello\n$").await;
    let hello = AttachNotice::Attached {
        session: id(1).to_string(),
        size: size(40, 6),
        read_only: false,
        offset: Some(12),
        resumed: false,
    };
    assert_eq!(viewer.notices(), [hello]);
    viewer.attached.typing().type_bytes(b"ls\x1b[?62;22c\r").await.unwrap();
    host.expect_typed(1, "ls\r").await;
    // A query in what comes is answered by the model and not seen by the viewer (`Watcher` checks).
    host.output(1, 12, "ls\r\n\x1b[5nfile\r\n").await;
    host.expect_typed(1, "\x1b[0n").await;
    viewer.until_text("hello\n$ ls\nfile").await;
    assert_eq!(soon(hub.screen_text(id(1))).await.unwrap(), "hello\n$ ls\nfile");

    drop(viewer);
    drop(hub);
    assert_eq!(host.heard().await, Said::Gone, "the hub ends with its last handle");
}

#[tokio::test]
async fn an_adopted_session_answers_only_what_comes_after_the_adoption() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(SessionInfo { live_from: None, ..peer.info(1) });
    host.expect(ToHost::Probe { session: id(1) }).await;
    host.probed(1, 10).await;
    host.expect_watch(1, 0).await;
    // One that was over when this node came, and one that the host does not know at all.
    hub.open(SessionInfo { live_from: None, ..peer.info(2) });
    host.expect(ToHost::Probe { session: id(2) }).await;
    host.say(&FromHost::NoSuchSession { session: id(2) }).await;
    host.expect_watch(2, 0).await;
    host.output(2, 0, "\x1b[cover").await;
    host.exited(2, 3).await;
    // The piece holds an old query, one that ends at byte 12, and goes on beyond.
    host.output(1, 0, "\x1b[c45678\x1b[5nnew").await;
    host.expect_typed(1, "\x1b[0n").await;
    let mut viewer = Watcher::new(&hub, 2, looking(40, 6)).await;
    while viewer.step().await {}
    assert_eq!(viewer.screen.text(), "over");
    let end =
        AttachNotice::Ended { detail: "exit code 3".into(), exit_code: Some(3), screen: Some("over".into()) };
    assert_eq!(viewer.notices().last(), Some(&end));
}

#[tokio::test]
async fn the_smallest_of_those_who_type_decides_the_size_and_others_see_it_whole() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, "first\r\n").await;
    let mut reader = Watcher::new(&hub, 1, looking(60, 10)).await;
    reader.until_text("first").await;
    let mut tall = Watcher::new(&hub, 1, typing(30, 9)).await;
    host.expect(ToHost::Resize { session: id(1), size: size(30, 9) }).await;
    let mut wide = Watcher::new(&hub, 1, typing(50, 5)).await;
    host.expect(ToHost::Resize { session: id(1), size: size(30, 5) }).await;
    tall.until(|viewer| viewer.notices().contains(&AttachNotice::Resized(size(30, 5)))).await;
    // A line of 40 characters wraps at column 30 for everybody, whatever their terminal.
    let line = "x".repeat(40);
    host.output(1, 7, format!("{line}\r\n")).await;
    let want = format!("first\n{}\n{}", &line[..30], &line[30..]);
    for viewer in [&mut reader, &mut tall, &mut wide] {
        viewer.until_text(&want).await;
    }
    drop(wide);
    host.expect(ToHost::Resize { session: id(1), size: size(30, 9) }).await;
    tall.until(|viewer| viewer.notices().last() == Some(&AttachNotice::Resized(size(30, 9)))).await;
    tall.attached.typing().control(AttachControl::Resize(size(20, 4))).unwrap();
    tall.screen = cis_core::terminal::screen::Screen::new(size(20, 4));
    host.expect(ToHost::Resize { session: id(1), size: size(20, 4) }).await;
    tall.until(|viewer| viewer.screen.text().contains("xxx")).await;
    drop(tall);
    // Nobody types: the size stays; and who reads cannot type.
    let error = reader.attached.typing().type_bytes(b"x").await.unwrap_err();
    assert_eq!(error, HubError::ReadOnly { id: id(1) });
    host.output(1, 49, "end").await;
    reader.until(|viewer| viewer.screen.text().ends_with("end")).await;
}

#[tokio::test]
async fn a_slow_viewer_gets_a_picture_and_stalls_nobody() {
    let peer = Peer::new();
    let hub = peer.hub(Limits { viewer_bytes: 4096, ..Limits::default() });
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    let mut slow = Watcher::new(&hub, 1, typing(40, 6)).await;

    let mut offset = 0;
    for n in 0..3000 {
        let line = format!("line {n} {}\r\n", "-".repeat(20));
        host.output(1, offset, &line).await;
        offset += line.len() as u64;
    }
    let mut quick = Watcher::new(&hub, 1, looking(40, 6)).await;
    quick.until(|viewer| viewer.screen.text().contains("line 2999 ")).await;
    assert!(slow.bytes == 0 && slow.seen.is_empty());
    slow.until(|viewer| viewer.screen.text().contains("line 2999 ")).await;
    assert_eq!(slow.screen.text(), quick.screen.text());
    assert!(slow.bytes < 20_000, "{} bytes of {offset}", slow.bytes);
    // From there on it gets bytes again.
    host.output(1, offset, "the end").await;
    for viewer in [&mut slow, &mut quick] {
        viewer.until(|viewer| viewer.screen.text().ends_with("the end")).await;
    }
    assert!(slow.bytes < 20_000);
}

#[tokio::test]
async fn a_far_viewer_gets_a_picture_where_a_near_one_gets_all() {
    let peer = Peer::new();
    let hub = peer.hub(Limits { far_viewer_bytes: 4096, ..Limits::default() });
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    let mut near = Watcher::new(&hub, 1, looking(40, 6)).await;
    let mut far = Watcher::at(&hub, 1, looking(40, 6), Reach::Far).await;
    let text = "0123456789\r\n".repeat(1000);
    host.output(1, 0, &text).await;
    host.output(1, text.len() as u64, "the end").await;
    for viewer in [&mut near, &mut far] {
        viewer.until(|viewer| viewer.screen.text().ends_with("the end")).await;
    }
    assert_eq!(far.screen.text(), near.screen.text());
    assert!(near.bytes > text.len() && far.bytes < 4096, "{} {}", near.bytes, far.bytes);
}

#[tokio::test]
async fn no_viewer_sees_a_secret() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(SessionInfo { size: size(20, 5), ..peer.info(1) });
    host.expect_watch(1, 0).await;
    host.output(1, 0, "token hunter2-hunter2\r\nhunter2-h").await;
    until_text(&hub, 1, "token ***\n\n***").await;
    // In the picture, across the picture's edge, and in a stream of single bytes (`Watcher` checks).
    let mut viewer = Watcher::new(&hub, 1, typing(20, 5)).await;
    host.output(1, 32, "unter2.\r\n").await;
    viewer.until(|viewer| viewer.screen.text().contains('.')).await;
    for (offset, byte) in (41..).zip("a hunter2-hunter2 b".bytes()) {
        host.output(1, offset, [byte]).await;
    }
    viewer.until(|viewer| viewer.screen.text().ends_with('b')).await;
    let text = viewer.screen.text();
    assert!(text.starts_with("token **************\n*") && !text.contains("hunter2-h"), "{text}");
    assert_eq!(text.lines().last().unwrap().len(), "a hunter2-hunter2 b".len());
}

async fn until_text(hub: &Hub, n: u128, text: &str) {
    soon(async {
        while hub.screen_text(id(n)).await.unwrap() != text {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

async fn until_counts(hub: &Hub, done: impl Fn(Counts) -> bool) {
    soon(async {
        while !done(hub.counts().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn inputs_are_answered_with_their_place_in_the_output() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    let input = InputId::from_parts(1, 9);
    let (asked, again) = (hub.clone(), hub.clone());
    let first = tokio::spawn(async move { asked.input(id(1), input, b"yes\r".to_vec()).await });
    host.expect(ToHost::Input { session: id(1), input }).await;
    host.expect_typed(1, "yes\r").await;
    host.say(&FromHost::Written { session: id(1), input, output_bytes: 77 }).await;
    assert_eq!(soon(first).await.unwrap(), Ok(InputReceipt { output_offset: 77 }));

    let second = tokio::spawn(async move { again.input(id(1), input, b"yes\r".to_vec()).await });
    host.expect(ToHost::Input { session: id(1), input }).await;
    host.expect_typed(1, "yes\r").await;
    host.say(&FromHost::NoSuchSession { session: id(1) }).await;
    assert_eq!(soon(second).await.unwrap(), Err(HubError::NoSuchSession { id: id(1) }));

    let third = hub.clone();
    let third = tokio::spawn(async move { third.input(id(1), input, b"no\r".to_vec()).await });
    host.expect(ToHost::Input { session: id(1), input }).await;
    host.expect_typed(1, "no\r").await;
    host.say(&FromHost::InputRefused { session: id(1), input: Some(input), waiting_bytes: 1 << 20 }).await;
    assert!(matches!(soon(third).await.unwrap(), Err(HubError::InputRefused { .. })));

    let unknown = soon(hub.input(id(5), input, b"x".to_vec())).await;
    assert_eq!(unknown, Err(HubError::NoSuchSession { id: id(5) }));
    let much = soon(hub.input(id(1), input, vec![b'x'; 2 << 20])).await;
    assert!(matches!(much, Err(HubError::InputRefused { .. })));
}

#[tokio::test]
async fn of_many_models_those_that_rest_go_early_and_their_screens_stay() {
    const MANY: u64 = 40;
    let peer = Peer::new();
    let limits = Limits { models: 8, idle_crowded: Duration::from_millis(30), ..Limits::default() };
    let hub = peer.hub(limits);
    let mut host = peer.accept().await;
    for n in 1..=MANY {
        hub.open(peer.info(n.into()));
        host.expect_watch(n.into(), 0).await;
        host.output(n.into(), 0, &format!("screen {n}")).await;
    }
    // The last few may stay for the long time.
    until_counts(&hub, |counts| counts.models <= 8).await;
    for n in 1..=MANY {
        until_text(&hub, n.into(), &format!("screen {n}")).await;
    }
}

#[tokio::test]
async fn an_idle_model_is_saved_dropped_and_made_again() {
    let peer = Peer::new();
    let limits = Limits { idle: Duration::from_millis(30), ..Limits::default() };
    let hub = peer.hub(limits);
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    // The output stands in the midst of a sequence when it is saved.
    host.output(1, 0, "before\r\n\x1b[3").await;
    let file = saved::path(&peer.log(1));
    until_counts(&hub, |counts| counts.models == 0).await;
    host.output(1, 11, "1mred\x1b[0m").await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    viewer.until_text("before\nred").await;
    drop(viewer);
    until(|| saved::read(&peer.log(1)).is_some_and(|saved| saved.offset == 20)).await;

    // The next node starts from the file; the one after it finds it damaged.
    let next = peer.hub(limits);
    let mut host = peer.accept().await;
    next.open(SessionInfo { live_from: None, ..peer.info(1) });
    host.expect(ToHost::Probe { session: id(1) }).await;
    host.probed(1, 20).await;
    host.expect_watch(1, 20).await;
    host.output(1, 20, " after\x1b[5n").await;
    host.expect_typed(1, "\x1b[0n").await;
    until_text(&next, 1, "before\nred after").await;
    until_counts(&next, |counts| counts.models == 0).await;
    assert_eq!(saved::read(&peer.log(1)).map(|saved| saved.offset), Some(30));
    std::fs::write(&file, "damaged").unwrap();
    host.output(1, 30, "lost?").await;
    host.expect_watch(1, 0).await;
    host.output(1, 0, "before\r\n\x1b[31mred\x1b[0m after\x1b[5nlost?\x1b[6n").await;
    host.expect_typed(1, "\x1b[2;15R").await;
    until_text(&next, 1, "before\nred afterlost?").await;

    next.close(id(1), Ended { detail: "exit code 0".into(), exit_code: Some(0) });
    until(|| !file.exists()).await;
    assert_eq!(soon(next.counts()).await.unwrap(), Counts::default());
}

#[tokio::test]
async fn a_model_is_saved_after_so_much_output() {
    let peer = Peer::new();
    let hub = peer.hub(Limits { save_every_bytes: 1000, ..Limits::default() });
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, vec![b'x'; 999]).await;
    host.output(1, 999, "yz").await;
    until(|| saved::read(&peer.log(1)).is_some_and(|saved| saved.offset == 1001)).await;
}

#[tokio::test]
async fn output_is_followed_from_any_byte_on() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let _main = peer.accept().await;
    hub.open(SessionInfo { tty: false, ..peer.info(1) });
    let follower = hub.clone();
    let starting = tokio::spawn(async move { follower.follow(id(1), 100, Form::Bytes).await.map(Box::pin) });
    let mut host = peer.accept().await;
    let mut follow = soon(starting).await.unwrap().unwrap();
    // A bit earlier, so that a secret that stands across byte 100 is known.
    let before = Arc::clone(&peer.info(1).redactor).longest() as u64;
    host.expect_watch(1, 100 - before).await;
    let from = 100 - before;
    let text = format!("{}hunter2-hunter2 ok\n", "x".repeat(before as usize - 8));
    host.output(1, from, &text).await;
    let end = from + text.len() as u64;
    let next = soon(follow.next()).await;
    assert_eq!(next, Some(FollowChunk::Data { offset: 100, next: Some(end), bytes: b"*** ok\n".to_vec() }));
    host.say(&FromHost::Gap { session: id(1), from: end, to: end + 50 }).await;
    // A bit more, as what comes first may be the end of a secret that began in the gap.
    let hidden = "x".repeat(before as usize - 1);
    let to = end + 50 + hidden.len() as u64;
    assert_eq!(soon(follow.next()).await, Some(FollowChunk::Gap { from: end, to }));
    host.output(1, end + 50, format!("{hidden}hunter2-")).await;
    host.exited(1, 0).await;
    let mut rest = Vec::new();
    while let Some(chunk) = soon(follow.next()).await {
        rest.push(chunk);
    }
    let bytes: Vec<u8> = rest
        .iter()
        .filter_map(
            |chunk| if let FollowChunk::Data { bytes, .. } = chunk { Some(bytes.clone()) } else { None },
        )
        .flatten()
        .collect();
    assert_eq!(bytes, b"hun***");
    let ended = Ended { detail: "exit code 0".into(), exit_code: Some(0) };
    assert_eq!(rest.last(), Some(&FollowChunk::End(ended)));
    assert!(matches!(hub.follow(id(7), 0, Form::Bytes).await.err(), Some(HubError::NoSuchSession { .. })));
}

#[tokio::test]
async fn followed_output_is_the_masked_log_whatever_the_writes() {
    let text = "1: hunter2-hunter2 end\r\n\x1b[1mhunter\x1b[m2-hunter2 hunt hunter2-hunter2hunter2-hunter2 aHVudGVyMi1odW50ZXIy\r\nhunter2-hunter".repeat(3);
    let forms = [Form::Bytes, Form::Screen, Form::Colors, Form::Text];
    // Pseudorandom lengths, the same in each run.
    let mut seed = 1_u64;
    for n in 0..40 {
        let form = forms[n % forms.len()];
        let peer = Peer::new();
        let hub = peer.hub(Limits::default());
        let _main = peer.accept().await;
        hub.open(SessionInfo { tty: false, ..peer.info(1) });
        let redactor = Arc::clone(&peer.info(1).redactor);
        let mut whole = Vec::new();
        let mut sanitizer = Sanitizer::new(form, redactor, Mask::Stars);
        sanitizer.push(text.as_bytes(), &mut whole);
        sanitizer.finish(&mut whole);
        let (mut shown, mut from) = (Vec::new(), 0);
        // The second follower goes on where the first one was when its connection broke.
        for end in [text.len() / 2, text.len()] {
            let follower = hub.clone();
            let starting =
                tokio::spawn(async move { follower.follow(id(1), from as u64, form).await.map(Box::pin) });
            let mut host = peer.accept().await;
            let mut follow = soon(starting).await.unwrap().unwrap();
            let Said::Message(ToHost::Watch { from: mut at, .. }) = host.heard().await else {
                panic!("no watch")
            };
            while (at as usize) < end {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let to = (at as usize + 1 + (seed >> 33) as usize % 17).min(end);
                host.output(1, at, &text[at as usize..to]).await;
                at = to as u64;
            }
            if end == text.len() {
                host.exited(1, 0).await;
            } else {
                drop(host);
            }
            // Bytes behind the last known place come again.
            let mut since = Vec::new();
            while let Some(chunk) = soon(follow.next()).await {
                if let FollowChunk::Data { bytes, next, .. } = chunk {
                    since.extend(bytes);
                    if let Some(next) = next {
                        from = next as usize;
                        shown.append(&mut since);
                    }
                }
            }
        }
        assert_eq!(String::from_utf8(shown), String::from_utf8(whole), "{form:?}");
    }
}

#[tokio::test]
async fn what_becomes_a_secret_is_hidden_from_those_who_follow_already() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let _main = peer.accept().await;
    hub.open(SessionInfo { tty: false, ..peer.info(1) });
    let follower = hub.clone();
    let starting = tokio::spawn(async move { follower.follow(id(1), 0, Form::Bytes).await.map(Box::pin) });
    let mut host = peer.accept().await;
    let mut follow = soon(starting).await.unwrap().unwrap();
    host.expect_watch(1, 0).await;
    host.output(1, 0, "made-up-key ").await;
    let data = |offset, next, text: &str| FollowChunk::Data { offset, next: Some(next), bytes: text.into() };
    assert_eq!(soon(follow.next()).await, Some(data(0, 12, "made-up-key ")));
    let more = Arc::new(Redactor::new(["made-up-key".to_owned()]).unwrap());
    hub.redact(id(1), peer.info(1).redactor.with(&more));
    // The hub answers in order, so it has taken the redactor.
    until_counts(&hub, |counts| counts.sessions == 1).await;
    host.output(1, 12, "made-up-key hunter2-hunter2\n").await;
    assert_eq!(soon(follow.next()).await, Some(data(12, 40, "*** ***\n")));
}

#[tokio::test]
async fn pipes_are_attached_to_at_the_end_of_their_output() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let _main = peer.accept().await;
    hub.open(SessionInfo { tty: false, ..peer.info(1) });
    let attaching = hub.clone();
    let attaching = tokio::spawn(async move { Watcher::new(&attaching, 1, typing(40, 6)).await });
    let mut host = peer.accept().await;
    host.expect(ToHost::Probe { session: id(1) }).await;
    host.probed(1, 100_000).await;
    let mut viewer = soon(attaching).await.unwrap();
    let Said::Message(ToHost::Watch { from, .. }) = host.heard().await else { panic!("no watch") };
    assert!((85_000..92_000).contains(&from));
    host.output(1, from, format!("{}\nwhole line\n\x1b[chunter2-hunter2\n", "x".repeat(9000))).await;
    viewer.until_text("whole line\n***").await;
    assert!(matches!(viewer.notices()[..], [AttachNotice::Attached { read_only: true, .. }]));
    let error = viewer.attached.typing().type_bytes(b"x").await.unwrap_err();
    assert_eq!(error, HubError::ReadOnly { id: id(1) });
    assert_eq!(hub.screen_text(id(1)).await, Err(HubError::NotATerminal { id: id(1) }));
    host.exited(1, 1).await;
    while viewer.step().await {}
    let Some(AttachNotice::Ended { exit_code: Some(1), screen, .. }) = viewer.notices().last().cloned()
    else {
        panic!("{:?}", viewer.notices())
    };
    assert_eq!(screen.as_deref(), Some("whole line\n***"));
}

#[tokio::test]
async fn when_the_connection_breaks_everybody_is_told_and_a_new_one_goes_on() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, "one ").await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    viewer.until_text("one").await;
    let asked = hub.clone();
    let input = InputId::from_parts(1, 1);
    let waiting = tokio::spawn(async move { asked.input(id(1), input, b"x".to_vec()).await });
    host.expect(ToHost::Input { session: id(1), input }).await;
    drop(host);
    while viewer.step().await {}
    assert!(matches!(viewer.seen.last(), Some(AttachOutput::Lost(HubError::HostLost { .. }))));
    assert!(matches!(soon(waiting).await.unwrap(), Err(HubError::HostLost { .. })));
    assert!(matches!(
        soon(hub.attach(id(1), typing(40, 6), Reach::Near)).await,
        Err(HubError::HostLost { .. })
    ));
    let error = soon(hub.input(id(1), input, b"x".to_vec())).await.unwrap_err();
    assert!(matches!(error, HubError::HostLost { .. }));

    let again = hub.clone();
    let again = tokio::spawn(async move { again.reconnect().await });
    let mut host = peer.accept().await;
    soon(again).await.unwrap().unwrap();
    host.expect_watch(1, 4).await;
    host.output(1, 4, "two").await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    viewer.until_text("one two").await;

    // Another host: what the old one ran is over.
    drop(host);
    while viewer.step().await {}
    let again = hub.clone();
    let again = tokio::spawn(async move { again.reconnect().await });
    let _host = peer.accept_as(2).await;
    soon(again).await.unwrap().unwrap();
    let mut viewer = Watcher::new(&hub, 1, looking(40, 6)).await;
    while viewer.step().await {}
    assert_eq!(viewer.screen.text(), "one two");
    assert!(matches!(viewer.notices().last(), Some(AttachNotice::Ended { exit_code: None, .. })));
}

#[tokio::test]
async fn a_closed_session_shows_its_last_output_first() {
    let peer = Peer::new();
    let hub = peer.hub(Limits { last_output: Duration::from_secs(60), ..Limits::default() });
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, "a").await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    viewer.until_text("a").await;
    hub.close(id(1), Ended { detail: "exit code 0".into(), exit_code: Some(0) });
    host.output(1, 1, "b").await;
    host.exited(1, 0).await;
    while viewer.step().await {}
    assert_eq!(viewer.screen.text(), "ab");
    assert!(matches!(viewer.notices().last(), Some(AttachNotice::Ended { exit_code: Some(0), .. })));
    assert!(matches!(
        soon(hub.attach(id(1), typing(40, 6), Reach::Near)).await,
        Err(HubError::NoSuchSession { .. })
    ));
}

#[tokio::test]
async fn a_closed_session_whose_end_does_not_come_ends_in_time() {
    let peer = Peer::new();
    let hub = peer.hub(Limits { last_output: Duration::from_millis(20), ..Limits::default() });
    let mut host = peer.accept().await;
    for n in 1..=2 {
        hub.open(peer.info(n));
        host.expect_watch(n, 0).await;
    }
    let mut viewer = Watcher::new(&hub, 1, looking(40, 6)).await;
    hub.close(id(1), Ended { detail: "signal 9".into(), exit_code: None });
    while viewer.step().await {}
    let end = AttachNotice::Ended { detail: "signal 9".into(), exit_code: None, screen: None };
    assert_eq!(viewer.notices().last(), Some(&end));
    host.expect(ToHost::Unwatch { session: id(1) }).await;
    // The host did not know the other one.
    let mut viewer = Watcher::new(&hub, 2, looking(40, 6)).await;
    host.say(&FromHost::NoSuchSession { session: id(2) }).await;
    while viewer.step().await {}
    assert!(matches!(viewer.notices().last(), Some(AttachNotice::Ended { exit_code: None, .. })));
}

#[tokio::test]
async fn bytes_that_are_lost_do_not_spoil_what_follows() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    host.output(1, 0, "a\x1b]0;cut off").await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    host.say(&FromHost::Gap { session: id(1), from: 13, to: 5000 }).await;
    host.say(&FromHost::Gap { session: id(1), from: 12, to: 5000 }).await;
    host.output(1, 5000, "bc").await;
    viewer.until_text("abc").await;
}

#[tokio::test]
async fn an_attach_that_is_given_up_leaves_no_viewer() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    for _ in 0..50 {
        let attaching = hub.attach(id(1), looking(40, 6), Reach::Near);
        let _ = tokio::time::timeout(Duration::ZERO, attaching).await;
    }
    until_counts(&hub, |counts| counts.viewers == 0).await;
    drop(Watcher::new(&hub, 1, looking(40, 6)).await);
    until_counts(&hub, |counts| counts.viewers == 0).await;
    assert!(size_of::<session::Session>() < 300, "an idle session is small");
}

#[tokio::test]
async fn each_keystroke_is_echoed_before_the_next_is_typed() {
    let peer = Peer::new();
    let hub = peer.hub(Limits::default());
    let mut host = peer.accept().await;
    hub.open(peer.info(1));
    host.expect_watch(1, 0).await;
    let mut viewer = Watcher::new(&hub, 1, typing(40, 6)).await;
    let keys = viewer.attached.typing();
    for n in 0..200_u64 {
        keys.type_bytes(b"k").await.unwrap();
        host.expect_typed(1, "k").await;
        host.output(1, n, "k").await;
        viewer.until(|viewer| viewer.screen.cursor().col == ((n + 1) % 40) as u16 || n % 40 == 39).await;
    }
}
