//! Sessions without a run: made, typed into, watched, attached to, explained, ended.

use std::path::Path;

use cis_client::{AttachFrame, AttachStream, Client};
use cis_core::api::{
    Ask, Attach, AttachControl, AttachNotice, CreateSession, HandIn, KillSession, ListInbox, ListSessions,
    ProblemKind, ReadAsk, ReadLog, ReportSession, Say, SendInput, StopNode,
};
use cis_core::event::{AskType, Layer, PromptKind, RunState, SaidKind, TaskState, Urgency};
use cis_core::ids::InputId;
use cis_core::term_size::TermSize;

use crate::harness::{Node, eventually, on_a_runtime, problem_of, task};
use crate::wire::kind;

/// A session with a terminal.
pub(crate) fn session(argv: &[&str]) -> CreateSession {
    CreateSession {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        agent: None,
        name: None,
        cwd: "/".to_owned(),
        env: None,
        umask: None,
        size: Some(TermSize { cols: 80, rows: 24 }),
        idle_ms: None,
        lifetime_ms: None,
        input: cis_client::input_id().unwrap(),
    }
}

/// A session of a shell's script.
pub(crate) fn shell(script: &str) -> CreateSession {
    session(&["sh", "-c", script])
}

/// What is typed, once.
pub(crate) fn input(text: &str) -> SendInput {
    SendInput { data: text.into(), input: cis_client::input_id().unwrap() }
}

async fn start(node: &Node, session: &CreateSession) -> String {
    node.client.create_session(session).await.unwrap().id.to_string()
}

async fn shows(node: &Node, session: &str, words: &str) -> String {
    eventually(&format!("session {session} shows {words:?}"), async || {
        Some(node.client.screen(session).await.unwrap()).filter(|screen| screen.contains(words))
    })
    .await
}

/// The log of a session as it is asked for.
pub(crate) async fn log(node: &Node, session: &str, how: &ReadLog) -> String {
    let bytes = node.client.session_log(session, how).await.unwrap().read_to_end(1 << 20).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_session_is_typed_into_read_and_killed_and_its_log_stays() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let client = &node.client;
        let script = "printf '\\033[31mhello\\033[0m\\n'; while read -r line; do echo \"<$line>\"; done";
        let mut request = CreateSession { name: Some("talk".to_owned()), ..shell(script) };
        request.env = Some([("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into());
        let id = start(&node, &request).await;
        let again = client.create_session(&request).await.unwrap();
        assert_eq!((again.id.to_string(), again.tty), (id.clone(), true), "sent twice, it is made once");
        shows(&node, &id, "hello").await;
        let typed = input("first words\r");
        let receipt = client.send_input(&id, &typed).await.unwrap();
        shows(&node, &id, "<first words>").await;
        assert_eq!(client.send_input(&id, &typed).await.unwrap(), receipt);
        client.send_input("talk", &input("second\r")).await.unwrap();
        let screen = shows(&node, &id, "<second>").await;
        assert_eq!(screen.matches("<first words>").count(), 1, "typed once: {screen}");
        // What the input caused comes after it.
        let after = ReadLog { from: Some(receipt.output_offset), plain: true, ..ReadLog::default() };
        let after = log(&node, &id, &after).await;
        assert!(!after.contains("hello") && after.contains("<first words>"), "{after}");

        client.kill_session(&id, &KillSession { grace_ms: Some(0) }).await.unwrap();
        let view = node.ended(&id).await;
        assert!(view.ended_ms >= Some(view.created_ms) && view.detail.is_some(), "{view:?}");
        assert_eq!(kind(client.kill_session(&id, &KillSession::default()).await), ProblemKind::Conflict);
        assert_eq!(kind(client.send_input(&id, &input("late")).await), ProblemKind::Conflict);
        let raw = log(&node, &id, &ReadLog::default()).await;
        assert!(raw.contains("\u{1b}[31mhello"), "{raw:?}");
        let plain = log(&node, &id, &ReadLog { plain: true, ..ReadLog::default() }).await;
        assert!(plain.starts_with("hello\n") && plain.contains("<second>\n"), "{plain:?}");
        let colors = log(&node, &id, &ReadLog { colors: true, ..ReadLog::default() }).await;
        assert!(colors.contains("hello") && colors.contains("\u{1b}["), "{colors:?}");
        node.stop().await;
    });
}

#[test]
fn no_session_is_created_above_the_limit_of_the_node() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &["node.max_sessions=1"]).await;
        let request = session(&["sleep", "600"]);
        let id = start(&node, &request).await;
        let refused = problem_of(node.client.create_session(&session(&["true"])).await);
        assert_eq!((refused.status, refused.kind), (409, ProblemKind::Conflict), "{refused:?}");
        assert!(refused.detail.contains("all the 1 sessions"), "{refused:?}");
        assert_eq!(start(&node, &request).await, id, "sent twice, it is made once");
        node.client.kill_session(&id, &KillSession { grace_ms: Some(0) }).await.unwrap();
        node.ended(&id).await;
        start(&node, &session(&["sleep", "600"])).await;
        node.stop().await;
    });
}

#[test]
fn sessions_are_listed_by_pages_and_found_by_what_is_not_ambiguous() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let client = &node.client;
        let named = |name: &str| CreateSession { name: Some(name.to_owned()), ..session(&["sleep", "600"]) };
        let mut ids = Vec::new();
        for name in ["a", "b", "b"] {
            ids.push(start(&node, &named(name)).await);
        }
        let unnamed = problem_of(client.create_session(&named(" ")).await);
        assert_eq!(unnamed.status, 400, "{unnamed:?}");
        let run = node
            .submit("version = 1\n[dag]\nid = \"r\"\n[[tasks]]\nid = \"t\"\ncommand = [\"sleep\", \"600\"]\n")
            .await;
        eventually("the task has a session", async || {
            task(&client.run(&run).await.unwrap(), "t").session.map(drop)
        })
        .await;
        let all = |which: ListSessions| async move {
            let items = client.all_sessions(&which).await.unwrap().items;
            items.iter().map(|view| view.id.to_string()).collect::<Vec<_>>()
        };
        let newest: Vec<_> = ids.iter().rev().cloned().collect();
        let alone = ListSessions { standalone: true, ..ListSessions::default() };
        assert_eq!(all(alone.clone()).await, newest);
        assert_eq!(all(ListSessions { limit: Some(1), ..alone.clone() }).await, newest);
        assert_eq!(all(ListSessions::default()).await.len(), 4);
        let of_run = ListSessions { run: Some(run.clone()), ..ListSessions::default() };
        assert_eq!(client.sessions(&of_run).await.unwrap().items[0].task.as_ref().unwrap().as_str(), "t");
        let page = client.sessions(&ListSessions { limit: Some(2), ..alone.clone() }).await.unwrap();
        assert!(page.next.is_some() && page.items.len() == 2);

        assert_eq!(client.session("a").await.unwrap().id.to_string(), ids[0]);
        let short = ids[1][ids[1].len() - 6..].to_lowercase();
        assert_eq!(client.session(&short).await.unwrap().id.to_string(), ids[1]);
        assert_eq!(kind(client.session("b").await), ProblemKind::Ambiguous);
        assert_eq!(kind(client.session("c").await), ProblemKind::NotFound);
        assert_eq!(kind(client.send_input("b", &input("x")).await), ProblemKind::Ambiguous);
        assert_eq!(
            kind(client.sessions(&ListSessions { run: Some("none".into()), ..alone }).await),
            ProblemKind::NotFound
        );
        client.kill_session("a", &KillSession { grace_ms: Some(0) }).await.unwrap();
        node.ended(&ids[0]).await;
        let alone = ListSessions { standalone: true, ..ListSessions::default() };
        assert_eq!(all(alone.clone()).await, newest[..2]);
        assert_eq!(all(ListSessions { all: true, ..alone }).await, newest);
        // Without a run there is none that the end of the node waits for: `stop` ends all of them.
        assert_eq!(client.node().await.unwrap().live_sessions, 3);
        node.stop().await;
    });
}

#[test]
fn a_session_gets_the_directory_environment_and_mask_that_it_was_made_with_or_is_refused() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let cwd = work.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let script =
            "pwd > said; echo \"$MINE\" >> said; umask >> said; test -t 0 || echo pipes >> said; exit 7";
        let env = [("MINE", "yes"), ("PATH", "/usr/bin:/bin")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let id = start(
            &node,
            &CreateSession {
                cwd: cwd.clone(),
                env: Some(env),
                umask: Some(0o27),
                size: None,
                ..shell(script)
            },
        )
        .await;
        let view = node.ended(&id).await;
        assert_eq!((view.exit_code, view.tty, view.size), (Some(7), false, None));
        let said = std::fs::read_to_string(work.path().join("said")).unwrap();
        assert_eq!(said, format!("{cwd}\nyes\n0027\npipes\n"));
        for wrong in [
            session(&[]),
            session(&["/missing/program"]),
            CreateSession { cwd: "relative".to_owned(), ..session(&["true"]) },
            CreateSession { cwd: format!("{cwd}/missing"), ..session(&["true"]) },
            session(&["a\0b"]),
        ] {
            let said = node.client.create_session(&wrong).await;
            assert_eq!(kind(said), ProblemKind::BadInput, "{wrong:?}");
        }
        // An id that counted for something else cannot count for a session.
        let talk = start(&node, &session(&["cat"])).await;
        let typed = input("x\r");
        node.client.send_input(&talk, &typed).await.unwrap();
        let taken = CreateSession { input: typed.input, ..session(&["true"]) };
        assert_eq!(kind(node.client.create_session(&taken).await), ProblemKind::KeyReused);
        node.stop().await;
    });
}

#[test]
fn a_session_ends_at_its_limits_and_says_which() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let idle = CreateSession { idle_ms: Some(300), ..session(&["cat"]) };
        let short = CreateSession { lifetime_ms: Some(300), ..shell("while :; do echo x; sleep 0.05; done") };
        let (idle, short) = (start(&node, &idle).await, start(&node, &short).await);
        let busy = CreateSession { idle_ms: Some(60_000), lifetime_ms: Some(60_000), ..session(&["cat"]) };
        let busy = start(&node, &busy).await;
        let said = async |id: &str| node.ended(id).await.detail.unwrap();
        let (idle, short) = (said(&idle).await, said(&short).await);
        assert!(idle.contains("idle") || idle.contains("activity"), "{idle}");
        assert!(short.contains("lifetime") || short.contains("300 ms"), "{short}");
        assert_ne!(idle, short);
        assert_eq!(node.client.session(&busy).await.unwrap().ended_ms, None);
        node.stop().await;
    });
}

/// Reads from a terminal until its output has these words; gives all of it, and the notices among it.
async fn reads(terminal: &mut AttachStream<'_>, words: &str) -> (String, Vec<AttachNotice>) {
    let (mut output, mut notices) = (Vec::new(), Vec::new());
    while !String::from_utf8_lossy(&output).contains(words) {
        match terminal.next().await.unwrap() {
            AttachFrame::Bytes(bytes) => output.extend_from_slice(&bytes),
            AttachFrame::Notice(notice) => notices.push(notice),
            AttachFrame::Closed => panic!("closed before {words:?}: {output:?} {notices:?}"),
        }
    }
    (String::from_utf8_lossy(&output).into_owned(), notices)
}

#[test]
fn an_attached_terminal_gets_a_picture_types_resizes_and_goes_on_where_it_was() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let script = "echo banner; while read -r line; do echo \"<$line $(stty size)>\"; done; exit 3";
        let id = start(&node, &shell(script)).await;
        shows(&node, &id, "banner").await;
        let how = Attach { cols: Some(100), rows: Some(30), marks: true, ..Attach::default() };
        let mut typist = node.client.attach(&id, &how).await.unwrap();
        let (_, notices) = reads(&mut typist, "banner").await;
        let AttachNotice::Attached { session, read_only: false, resumed: false, .. } = &notices[0] else {
            panic!("{notices:?}");
        };
        assert_eq!(session, &id);
        typist.type_bytes(b"one\r");
        reads(&mut typist, "<one 30 100>").await;
        typist.control(AttachControl::Resize(TermSize { cols: 90, rows: 20 })).unwrap();
        typist.flush().await.unwrap();
        let resized = AttachNotice::Resized(TermSize { cols: 90, rows: 20 });
        while typist.next().await.unwrap() != AttachFrame::Notice(resized.clone()) {}

        // Who only looks sees the same, and types nothing.
        let reader = Attach { read_only: true, ..Attach::default() };
        let mut reader = node.client.attach(&id, &reader).await.unwrap();
        let (_, notices) = reads(&mut reader, "<one 30 100>").await;
        assert!(matches!(notices[0], AttachNotice::Attached { read_only: true, .. }), "{notices:?}");
        reader.type_bytes(b"from the reader\r");
        reader.flush().await.unwrap();
        typist.type_bytes(b"two\r");
        reads(&mut typist, "<two 20 90>").await;
        let (seen, _) = reads(&mut reader, "<two 20 90>").await;
        assert!(!seen.contains("from the reader"), "{seen}");

        // It goes on from a place without a picture.
        let from = typist.offset();
        assert!(from.is_some());
        drop(typist);
        node.client.send_input(&id, &input("three\r")).await.unwrap();
        let back = Attach { cols: Some(90), rows: Some(20), from, marks: true, ..Attach::default() };
        let mut back = node.client.attach(&id, &back).await.unwrap();
        let (output, notices) = reads(&mut back, "<three 20 90>").await;
        assert!(matches!(notices[0], AttachNotice::Attached { resumed: true, .. }), "{notices:?}");
        assert!(!output.contains("banner") && !output.contains("<two"), "{output}");
        back.control(AttachControl::Repaint).unwrap();
        reads(&mut back, "banner").await;

        back.type_bytes(b"\x04");
        let ended = loop {
            if let AttachFrame::Notice(AttachNotice::Ended { exit_code, screen, .. }) =
                back.next().await.unwrap()
            {
                break (exit_code, screen.unwrap_or_default());
            }
        };
        assert_eq!(ended.0, Some(3));
        assert!(ended.1.contains("<three 20 90>"), "{ended:?}");
        assert_eq!(kind(node.client.attach(&id, &Attach::default()).await.map(drop)), ProblemKind::Conflict);
        node.stop().await;
    });
}

#[test]
fn the_size_of_a_session_is_that_of_its_terminal_also_after_a_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[]).await;
        let script = "while read -r line; do echo \"<$line $(stty size)>\"; done";
        let alone = start(&node, &shell(script)).await;
        let text = format!(
            "version = 1\n[dag]\nid = \"sized\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n"
        );
        let run = node.submit(&text).await;
        let of_task = node.task_is(&run, "a", TaskState::Running).await.session.unwrap().to_string();
        let size = |cols, rows| TermSize { cols, rows };
        let has = async |node: &Node, id: &str, wanted: TermSize| {
            eventually(&format!("session {id} has the size {wanted:?}"), async || {
                (node.client.session(id).await.unwrap().size == Some(wanted)).then_some(())
            })
            .await;
        };
        for id in [&alone, &of_task] {
            has(&node, id, TermSize::default()).await;
            let how = Attach { cols: Some(100), rows: Some(30), ..Attach::default() };
            let mut typist = node.client.attach(id, &how).await.unwrap();
            has(&node, id, size(100, 30)).await;
            typist.control(AttachControl::Resize(size(90, 20))).unwrap();
            typist.flush().await.unwrap();
            has(&node, id, size(90, 20)).await;
        }
        node.leave().await;
        node = Node::local(scratch.path(), &[]).await;
        for id in [&alone, &of_task] {
            eventually("the node knows it again", async || node.client.screen(id).await.ok()).await;
            node.client.send_input(id, &input("back\r")).await.unwrap();
            shows(&node, id, "<back 20 90>").await;
            has(&node, id, size(90, 20)).await;
            let reader = Attach { read_only: true, ..Attach::default() };
            let mut reader = node.client.attach(id, &reader).await.unwrap();
            let (_, notices) = reads(&mut reader, "<back 20 90>").await;
            let AttachNotice::Attached { size: shown, .. } = &notices[0] else { panic!("{notices:?}") };
            assert_eq!(*shown, size(90, 20));
            node.client.send_input(id, &input("\x04")).await.unwrap();
            assert_eq!(node.ended(id).await.size, Some(size(90, 20)));
        }
        node.stop().await;
    });
}

#[test]
fn a_session_that_waits_is_explained_answered_and_reported_in_a_recording_of_its_screen() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let script = "printf 'Overwrite the file? [y/N] '; read -r yes; echo \"said $yes\"; sleep 600";
        let id = start(&node, &shell(script)).await;
        let item = eventually("it is in the inbox", async || {
            let of = ListInbox { session: Some(id.clone()), ..ListInbox::default() };
            node.client.inbox(&of).await.unwrap().items.pop()
        })
        .await;
        assert!(item.question.contains("Overwrite the file?"), "{item:?}");
        let explained = node.client.explain(&id).await.unwrap();
        assert_eq!((explained.session.to_string(), explained.item), (id.clone(), Some(item.id.clone())));
        let verdict = explained.explanation.verdict.unwrap();
        assert_eq!(Some(verdict.episode), item.episode);
        assert!(!explained.explanation.because.is_empty() || !explained.explanation.layers.is_empty());

        for (waits_for, word) in
            [(None, "no-prompt"), (Some(PromptKind::Permission), PromptKind::Permission.as_str())]
        {
            let kept = node.client.report_session(&id, &ReportSession { waits_for }).await.unwrap();
            let path = Path::new(&kept.path);
            assert!(path.starts_with(node.home.dir.join("reports")), "{kept:?}");
            assert!(path.to_str().unwrap().ends_with(&format!("-{word}.cast")), "{kept:?}");
            assert!(std::fs::read_to_string(path).unwrap().contains("Overwrite the file?"));
        }
        // There is an end to what is kept.
        for n in 2..200 {
            std::fs::write(node.home.dir.join(format!("reports/{n}.cast")), "").unwrap();
        }
        let report = node.client.report_session(&id, &ReportSession { waits_for: None }).await;
        assert_eq!(kind(report), ProblemKind::Conflict, "200 are kept");
        let answer = cis_core::api::Answer {
            with: cis_core::api::AnswerWith::Text { text: "y".to_owned() },
            reason: None,
            hash: None,
            again: None,
            input: cis_client::input_id().unwrap(),
        };
        let receipt = node.client.answer(&item.id.to_string(), &answer).await.unwrap();
        assert!(receipt.bytes >= 2 && !receipt.repeated, "{receipt:?}");
        shows(&node, &id, "said y").await;
        eventually("nothing is asked any more", async || {
            node.client.inbox(&ListInbox::default()).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        let closed = node.client.inbox_item(&item.id.to_string()).await.unwrap().closed.unwrap();
        assert!(closed.by.is_some(), "{closed:?}");
        node.client.kill_session(&id, &KillSession { grace_ms: Some(0) }).await.unwrap();
        node.ended(&id).await;
        let report = node.client.report_session(&id, &ReportSession { waits_for: None }).await;
        assert_eq!(kind(report), ProblemKind::Conflict);
        node.stop().await;
    });
}

#[test]
fn a_session_asks_says_and_hands_in_for_itself_and_may_do_nothing_else() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let text = r#"
            version = 1
            [dag]
            id = "speaks"
            [[tasks]]
            id = "t"
            script = '''
            cd "$CIS_HOME" && printf %s "$CIS_TOKEN" > token.new && mv token.new token; exec sleep 600
            '''
        "#;
        let run = node.submit(text).await;
        let token = eventually("the session has a token", async || {
            std::fs::read_to_string(node.home.dir.join("token")).ok()
        })
        .await;
        let inside = Client::new(node.home.node_place(), Some(&token));
        let me = inside.me().await.unwrap();
        assert_eq!(me.session, task(&node.client.run(&run).await.unwrap(), "t").session);
        assert!(me.may("ask") && !me.may("create_run"), "{me:?}");
        assert_eq!(kind(inside.stop_node(&StopNode::default()).await), ProblemKind::Denied);
        assert_eq!(kind(inside.run(&run).await), ProblemKind::Denied);
        assert_eq!(
            kind(node.client.say(&say("x", None)).await),
            ProblemKind::Denied,
            "an owner is no session"
        );

        inside.say(&say("half of it", Some(50))).await.unwrap();
        let said = eventually("what it said is shown", async || {
            task(&node.client.run(&run).await.unwrap(), "t").said.clone()
        })
        .await;
        assert_eq!((said.text.as_str(), said.percent), ("half of it", Some(50)));
        assert_eq!(kind(inside.say(&say("too much", Some(101))).await), ProblemKind::BadInput);

        let ask = |text: &str| Ask {
            ask_type: AskType::Clarification,
            text: text.to_owned(),
            options: vec!["left".to_owned(), "right".to_owned()],
            urgency: Urgency::default(),
            thread: None,
            waits: true,
            input: cis_client::input_id().unwrap(),
        };
        let asked = inside.ask(&ask("Which way?")).await.unwrap();
        let item = node.question(&run).await;
        assert_eq!((&item.id, item.question.as_str()), (&asked.id, "Which way?"));
        let explained = node.client.explain(&item.session.unwrap().to_string()).await.unwrap();
        assert_eq!(
            (explained.item, explained.explanation.verdict.is_some()),
            (Some(asked.id.clone()), false)
        );
        let layer = &explained.explanation.layers[0];
        assert_eq!((layer.layer, layer.seen.concat().contains("Which way?")), (Layer::Asked, true));
        let with = cis_core::api::AnswerWith::Option { option: "right".to_owned() };
        let answer = cis_core::api::Answer {
            with,
            reason: Some("it is shorter".to_owned()),
            hash: None,
            again: None,
            input: InputId::default(),
        };
        assert_eq!(
            kind(inside.answer(&item.id.to_string(), &answer).await),
            ProblemKind::Denied,
            "not itself"
        );
        node.client.answer(&item.id.to_string(), &answer).await.unwrap();
        let wait = ReadAsk { wait_ms: Some(10_000), leaves: false };
        let answered = inside.read_ask(&item.id.to_string(), &wait).await.unwrap().answer.unwrap();
        assert_eq!((answered.text.as_str(), answered.reason.as_deref()), ("right", Some("it is shorter")));
        let thread = node.client.thread(&item.id.to_string()).await.unwrap().items;
        assert!(thread.iter().any(|message| message.text.contains("Which way?")), "{thread:?}");
        assert!(thread.iter().any(|message| message.text.contains("right")), "{thread:?}");

        let second = inside.ask(&ask("And now?")).await.unwrap();
        let withdrawn = inside.withdraw_ask(&second.id.to_string()).await.unwrap();
        assert!(withdrawn.is_over() && withdrawn.answer.is_none(), "{withdrawn:?}");
        assert_eq!(kind(node.client.answer(&second.id.to_string(), &answer).await), ProblemKind::Conflict);

        // Its session ends with that, and what it handed in is the result.
        let result = HandIn { text: Some("all of it".to_owned()), input: cis_client::input_id().unwrap() };
        inside.hand_in(&result).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        let history = node.client.run_history(&run, Some("t")).await.unwrap();
        let actions: Vec<_> = history.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["asked", "answered", "asked", "withdrawn", "handed_in"], "{history:?}");
        let closed = inside.say(&say("late", None)).await;
        assert_eq!(kind(closed), ProblemKind::Conflict);
        node.stop().await;
    });
}

fn say(text: &str, percent: Option<u8>) -> Say {
    Say {
        kind: SaidKind::Progress,
        text: text.to_owned(),
        urgency: Urgency::default(),
        percent,
        thread: None,
        input: cis_client::input_id().unwrap(),
    }
}
