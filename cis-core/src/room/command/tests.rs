use serde_json::{Value, json};

use super::super::sample::{item, option};
use super::*;
use crate::api::AnswerWith;
use crate::event::{AskType, Meaning, PromptKind, PromptOption};
use crate::people::Power;

fn hint_of(body: &str) -> Hint {
    match command(body) {
        Read::Hint(hint) => hint,
        other => panic!("{body}: {other:?}"),
    }
}

fn request_of(body: &str) -> Request {
    match command(body) {
        Read::Request(request) => request,
        other => panic!("{body}: {other:?}"),
    }
}

fn target(text: &str) -> Target {
    Target::new(text).unwrap()
}

#[test]
fn commands() {
    assert_eq!(request_of("!cis"), Request::Help);
    assert_eq!(request_of("  !cis   status "), Request::Status);
    assert_eq!(request_of("!cis logs 4r1xec:build"), Request::Logs { task: target("4r1xec:build") });
    assert_eq!(request_of("!cis screen build"), Request::Screen { session: target("build") });
    let report = |waits_for| Request::Report { session: target("build"), waits_for };
    assert_eq!(request_of("!cis report build none"), report(None));
    assert_eq!(request_of("!cis report build password"), report(Some(PromptKind::Password)));
    for words in ["", " something"] {
        let hint = hint_of(&format!("!cis report build{words}"));
        assert!(hint.says.contains("none, permission, question"), "{}", hint.says);
    }
    let answer = Request::Answer { item: target("kqzvra"), words: "use  the staging one".to_owned() };
    assert_eq!(request_of("!cis answer kqzvra use  the staging one"), answer);
    let reject = Request::Reject { item: target("kqzvra"), reason: Some("not on a Friday".to_owned()) };
    assert_eq!(request_of("!cis reject kqzvra not on a Friday"), reject);
    assert_eq!(request_of("!cis approve deploy"), Request::Approve { item: target("deploy") });
    let run = request_of("!cis run ops/ship.toml branch=main note='two words' who=“Ada L.” empty=");
    let Request::Run { dag, params } = run else { panic!() };
    assert_eq!(dag.as_str(), "ops/ship");
    let params: Vec<(&str, &str)> =
        params.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(params, [("branch", "main"), ("note", "two words"), ("who", "Ada L."), ("empty", "")]);
    let did = crate::identity::NodeKey::from_seed(&[7; 32]).did();
    let trust = |may: &[Right]| Request::Trust { did: did.clone(), may: may.iter().copied().collect() };
    assert_eq!(request_of(&format!("!cis trust {did}")), trust(&[]));
    let two = trust(&[Right::Execute, Right::Coordinate]);
    assert_eq!(request_of(&format!("!cis trust {did} execute, coordinate")), two);
    for verb in VERBS {
        let read = command(&format!("!cis {}", verb.name));
        let needs = match &read {
            Read::Request(request) => request.needs(),
            Read::Hint(hint) => {
                assert_eq!(hint.usage.as_deref(), Some(verb.usage));
                continue;
            }
            Read::NotForUs => panic!("{}", verb.name),
        };
        assert_eq!(needs, verb.needs);
    }
}

#[test]
fn talk_is_not_for_us() {
    for body in
        ["", "cis status", "please !cis status", "!cisco is down", "> !cis status", "!CIS status", "1"]
    {
        assert_eq!(command(body), Read::NotForUs, "{body}");
    }
}

#[test]
fn what_has_no_shape_is_refused() {
    for body in [
        "!cis run ../../etc/passwd",
        "!cis run /etc/passwd",
        "!cis run a/../../b",
        "!cis run .ssh/config",
        "!cis run a\\b",
        "!cis run ship$(id)",
        "!cis run ship;id",
        "!cis run -x",
        "!cis run ship branch",
        "!cis run ship =x",
        "!cis run ship LD-PRELOAD$=x",
        "!cis run ship a=1 a=2",
        "!cis run ship note='open",
        "!cis run",
        "!cis run a/b/c/d/e",
        "!cis logs ../x",
        "!cis logs 4r1xec:../x",
        "!cis logs a b",
        "!cis answer kqzvra",
        "!cis cancel *",
        "!cis cancel all runs",
        "!cis status now",
        "!cis run ship\n!cis run other",
        "!cis logs a\u{0}b",
        "!cis trust",
        "!cis trust builder",
        "!cis trust did:key:z6Mk",
        "!cis trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK owner",
        "!cis nodes all",
    ] {
        let hint = hint_of(body);
        assert!(hint.says.len() < 300 && !hint.says.chars().any(char::is_control), "{body}: {hint:?}");
    }
    let said: Vec<String> = ["run ../../etc/passwd", "stauts", "launch", "run ship x", "logs"]
        .map(|rest| hint_of(&format!("!cis {rest}")))
        .map(|hint| format!("{} | {}", hint.says, hint.usage.unwrap_or_default()))
        .into();
    insta::assert_snapshot!(said.join("\n"));
    assert!(!hint_of("!cis @room\u{202e}").says.contains("@room"));
}

fn message(body: &str, relates: &Value) -> Value {
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates })
}

fn words(content: &Value) -> (String, Option<String>, Option<String>) {
    match inbound("m.room.message", content) {
        Some(Inbound::Words { text, to, thread }) => (text, to.map(String::from), thread.map(String::from)),
        other => panic!("{content}: {other:?}"),
    }
}

#[test]
fn replies_are_read_without_what_they_quote() {
    let reply = json!({ "m.in_reply_to": { "event_id": "$q" } });
    let quoted = "> <@eve:x> !cis cancel 4r1xec\n> more\n\n1";
    assert_eq!(words(&message(quoted, &reply)), ("1".into(), Some("$q".into()), None));
    assert_eq!(words(&message("yes", &reply)).0, "yes");
    assert_eq!(words(&message("> !cis cancel 4r1xec", &reply)).0, "");
    // Not a reply: a quote stands as it is, and is no command.
    assert_eq!(words(&message("> !cis cancel 4r1xec\n", &json!({}))).0, "> !cis cancel 4r1xec");
}

#[test]
fn a_thread_is_no_reply_to_its_last_message() {
    let falls = json!({
        "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
        "m.in_reply_to": { "event_id": "$last" },
    });
    assert_eq!(words(&message("ok", &falls)), ("ok".into(), None, Some("$root".into())));
    let real = json!({
        "rel_type": "m.thread", "event_id": "$root", "is_falling_back": false,
        "m.in_reply_to": { "event_id": "$q" },
    });
    assert_eq!(words(&message("ok", &real)), ("ok".into(), Some("$q".into()), Some("$root".into())));
}

#[test]
fn what_is_meant_depends_on_what_it_is_said_to() {
    let question: crate::room::EventId = "$q".parse().unwrap();
    let is_question = |event: &crate::room::EventId| *event == question;
    let reply = json!({ "m.in_reply_to": { "event_id": "$q" } });
    let thread = json!({
        "rel_type": "m.thread", "event_id": "$q", "is_falling_back": true, "m.in_reply_to": { "event_id": "$last" },
    });
    let of = |content: Value| inbound("m.room.message", &content).unwrap();
    let answer = of(message("1", &reply));
    assert_eq!(
        answer.meant(is_question),
        Meant::Answer { to: &question, said: Said::Words("1"), is_told: true }
    );
    assert_eq!(answer.meant(|_| false), Meant::Talk);
    let aside = of(message("what is this?", &thread));
    assert_eq!(
        aside.meant(is_question),
        Meant::Answer { to: &question, said: Said::Aside("what is this?"), is_told: false }
    );
    let command = of(message("> quoted\n\n!cis status", &reply));
    assert_eq!(command.meant(is_question), Meant::Command(Read::Request(Request::Status)));
    let other =
        json!({ "rel_type": "m.thread", "event_id": "$q", "m.in_reply_to": { "event_id": "$other" } });
    assert_eq!(of(message("1", &other)).meant(is_question), Meant::Talk);
}

#[test]
fn edits_notices_and_odd_events_do_not_act() {
    let edit = json!({
        "msgtype": "m.text", "body": "* !cis cancel x", "m.new_content": { "msgtype": "m.text", "body": "!cis cancel x" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$e" },
    });
    let half_edit = json!({ "msgtype": "m.text", "body": "!cis cancel x", "m.new_content": {} });
    let notice = json!({ "msgtype": "m.notice", "body": "!cis status" });
    let long = json!({ "msgtype": "m.text", "body": "!cis status".repeat(10_000) });
    for content in
        [edit, half_edit, notice, long, json!(null), json!([1]), json!({ "msgtype": "m.text", "body": 7 })]
    {
        assert_eq!(inbound("m.room.message", &content), None, "{content}");
    }
    assert_eq!(inbound("m.room.encrypted", &message("!cis status", &json!({}))), None);
    // Odd relations are none.
    let odd = message("1", &json!({ "m.in_reply_to": { "event_id": "no event" }, "rel_type": 5 }));
    assert_eq!(words(&odd), ("1".into(), None, None));
}

#[test]
fn reactions_that_mean_something() {
    let react = |key: &str| {
        let relates = json!({ "rel_type": "m.annotation", "event_id": "$q", "key": key });
        match inbound("m.reaction", &json!({ "m.relates_to": relates })) {
            Some(Inbound::Reaction { sign, .. }) => Some(sign),
            None => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(react("1\u{fe0f}\u{20e3}"), Some(Sign::Number(1)));
    assert_eq!(react("9\u{20e3}"), Some(Sign::Number(9)));
    assert_eq!(react("🔟"), Some(Sign::Number(10)));
    for yes in ["✅", "👍", "👍\u{1f3fd}", "✔\u{fe0f}"] {
        assert_eq!(react(yes), Some(Sign::Yes), "{yes}");
    }
    for no in ["❌", "👎", "👎\u{1f3ff}", "✖\u{fe0f}"] {
        assert_eq!(react(no), Some(Sign::No), "{no}");
    }
    for nothing in ["🎉", "1", "yes", "", "✅✅", &"👍".repeat(100)] {
        assert_eq!(react(nothing), None, "{nothing}");
    }
    let other = json!({ "m.relates_to": { "rel_type": "m.thread", "event_id": "$q", "key": "✅" } });
    assert_eq!(inbound("m.reaction", &other), None);
}

fn picked(item: &crate::api::InboxItem, said: Said<'_>) -> Option<String> {
    match choose(item, said) {
        // By its id alone, whatever others are called.
        Ok(AnswerWith::Option { option }) => Some(option.strip_prefix("id:").unwrap().to_owned()),
        Ok(AnswerWith::Text { text }) => Some(format!("text: {text}")),
        Ok(AnswerWith::Keys { .. }) => panic!("nobody presses keys from a room"),
        Err(_) => None,
    }
}

#[test]
fn an_option_is_meant_by_number_label_meaning_word_or_sign() {
    let item = item();
    for (said, option) in [
        ("1", "1"),
        ("2.", "2"),
        ("3)", "3"),
        ("YES", "1"),
        ("y", "1"),
        ("no", "3"),
        ("allow_always", "2"),
        ("allow always", "2"),
        ("yes, and don't ask again", "2"),
        ("text 2", "text: 2"),
    ] {
        assert_eq!(picked(&item, Said::Words(said)).as_deref(), Some(option), "{said}");
    }
    // Other words would take what is marked in the menu.
    for nothing in ["maybe later", "4", "0", "", "1\n2", "text ", "yess"] {
        assert_eq!(picked(&item, Said::Words(nothing)), None, "{nothing}");
    }
    assert_eq!(picked(&item, Said::Aside("2")).as_deref(), Some("2"));
    for talk in ["y", "ok", "text 2", "what?"] {
        assert_eq!(picked(&item, Said::Aside(talk)), None, "{talk}");
    }
    assert_eq!(picked(&item, Said::Sign(Sign::Number(2))).as_deref(), Some("2"));
    assert_eq!(picked(&item, Said::Sign(Sign::Number(4))), None);
    assert_eq!(picked(&item, Said::Sign(Sign::Yes)).as_deref(), Some("1"));
    assert_eq!(picked(&item, Said::Sign(Sign::No)).as_deref(), Some("3"));
}

#[test]
fn a_yes_is_never_for_longer_than_once() {
    let mut item = item();
    item.options =
        vec![option("a", "Always", Some(Meaning::AllowAlways)), option("n", "No", Some(Meaning::Deny))];
    assert_eq!(picked(&item, Said::Sign(Sign::Yes)), None);
    assert_eq!(picked(&item, Said::Words("yes")), None);
    assert_eq!(picked(&item, Said::Sign(Sign::No)).as_deref(), Some("n"));
    item.options =
        vec![option("a", "Yes", Some(Meaning::AllowOnce)), option("b", "Yes!", Some(Meaning::AllowOnce))];
    assert_eq!(picked(&item, Said::Sign(Sign::Yes)), None, "which?");
}

#[test]
fn words_are_an_answer_where_words_are_asked_for() {
    let mut open = item();
    open.options.clear();
    open.kind = PromptKind::Question;
    assert_eq!(picked(&open, Said::Words(" use staging ")).as_deref(), Some("text: use staging"));
    assert_eq!(picked(&open, Said::Sign(Sign::Yes)), None);
    assert_eq!(picked(&open, Said::Aside("use staging")), None, "talk about it is not typed");
    let mut asked = item();
    asked.kind = PromptKind::Question;
    asked.ask_type = Some(AskType::Clarification);
    asked.options = vec![option("staging", "staging", None), option("prod", "prod", None)];
    assert_eq!(picked(&asked, Said::Words("2")).as_deref(), Some("prod"));
    for free in ["neither", "text neither"] {
        assert_eq!(picked(&asked, Said::Words(free)), None, "it offers options: {free}");
    }
    let hint = choose(&asked, Said::Words("neither")).unwrap_err();
    assert!(hint.says.contains("“neither”") && hint.says.contains("1 (staging), 2 (prod)"), "{hint:?}");
    let mut approval = item();
    approval.kind = PromptKind::Approval;
    approval.session = None;
    approval.options = PromptOption::of_approvals();
    assert_eq!(picked(&approval, Said::Words("approve")).as_deref(), Some("approve"));
    assert_eq!(picked(&approval, Said::Sign(Sign::No)).as_deref(), Some("reject"));
    assert_eq!(picked(&approval, Said::Words("text yes")), None);
    assert_eq!(picked(&approval, Said::Words("later")), None);
}

#[test]
fn nothing_is_typed_where_a_terminal_is_needed() {
    for (kind, command) in [
        (PromptKind::Password, "cis dag attach 000007"),
        (PromptKind::Editor, "cis dag attach 000007"),
        (PromptKind::Pager, "cis answer kqzvra --keys q"),
    ] {
        let mut item = item();
        item.kind = kind;
        for said in [Said::Words("1"), Said::Words("hunter2"), Said::Sign(Sign::Yes)] {
            let hint = choose(&item, said).unwrap_err();
            assert_eq!(hint.usage.unwrap(), command, "{kind}");
        }
    }
}

#[test]
fn a_refusal_says_who_may() {
    let bob = "@bob:x".parse().unwrap();
    let bob = Person { id: &bob, power: Power::Level(0) };
    let viewers = Roles::parse(Some(&["*".to_owned()]), None, None).unwrap();
    let run = Request::Run { dag: DagName::new("ship").unwrap(), params: vec![] };
    assert_eq!(Request::Help.check(&Roles::default(), bob), Ok(None));
    assert_eq!(Request::Runs.check(&viewers, bob), Ok(Some(Role::Viewer)));
    let said = run.check(&viewers, bob).unwrap_err().to_string();
    assert_eq!(said, "`run` is for operators here; you are a viewer");
    let said = Request::Runs.check(&Roles::default(), bob).unwrap_err().to_string();
    assert_eq!(said, "`runs` is for viewers here; you have no role");
    let operator = Refusal::Role { verb: "trust", needs: Role::Admin, has: Some(Role::Operator) };
    assert_eq!(operator.to_string(), "`trust` is for admins here; you are an operator");
}
