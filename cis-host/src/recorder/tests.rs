//! A scenario is played, and its recording read again. (Each test is a process: the recorder waits for all of its children.)

use super::*;
use cis_core::event::PromptKind;
use cis_core::monitor::recording::Recording;
use cis_core::monitor::{Change, Profile};

const SCENARIOS: &str = r#"
program = "login"

[[scenario]]
name = "password"
argv = ["sh", "-c", "stty -echo; printf 'Password: '; read a; stty echo; echo; echo welcome; sleep 60 & exit 3"]
steps = [
  { expect = "Password: ", waiting = "password", hold = 3, send = "hunter2\r" },
  { expect = "welcome", working = true, hold = 0.5 },
]

[[scenario]]
name = "missing"
argv = ["sh", "-c", "echo something else; exec sleep 60"]
cols = 20
rows = 3
steps = [{ expect = "never", within = 0.2 }]

[[scenario]]
name = "gone"
argv = ["sh", "-c", "read a < /dev/null; echo bye; exit 4"]
steps = [{ expect = "bye", hold = 10, send = "x" }]
"#;

/// Records a scenario. Returns the text of the file, and why it was not played to its end.
async fn recorded(name: &str) -> (String, Result<(), PlayError>) {
    let scenarios = Scenarios::parse(SCENARIOS).unwrap();
    let scenario = scenarios.find(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = Start {
        argv: scenario.argv.clone(),
        env: [("PATH".to_owned(), std::env::var("PATH").unwrap())].into(),
        directory: folder.path().to_owned(),
        header: Header {
            size: TermSize { cols: scenario.cols, rows: scenario.rows },
            started_ms: 1_700_000_000_000,
            command: name.to_owned(),
            program: Some(scenarios.program.clone()),
            scenario: Some(name.to_owned()),
            profile: None,
        },
    };
    let mut file = Vec::new();
    let mut recorder = Recorder::start(&start, &mut file).unwrap();
    let played = play(&mut recorder, scenario).await;
    recorder.finish().await.unwrap();
    (String::from_utf8(file).unwrap(), played)
}

#[tokio::test]
async fn a_prompt_is_recorded_without_what_was_typed_and_found_again_by_the_monitor() {
    let (text, played) = recorded("password").await;
    played.unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let recording = Recording::parse(&text).unwrap();
    let at = |wanted: fn(&What) -> bool| {
        let moment = recording.moments.iter().find(|moment| wanted(&moment.what));
        moment.unwrap_or_else(|| panic!("{text}")).at_ms
    };
    let waiting = at(|what| matches!(what, What::Label(Label::Waiting(PromptKind::Password))));
    let typed = at(|what| matches!(what, What::Input(text) if text == MASK));
    let working = at(|what| matches!(what, What::Label(Label::Working)));
    let ended = at(|what| matches!(what, What::Exit(3)));
    assert!(waiting < typed && typed <= working && working <= ended);
    assert!(at(|what| matches!(what, What::Kernel(_))) < typed);

    let replayed = replay(&recording, Profile::plain());
    let span = &replayed.spans[0];
    assert_eq!(span.kind, Some(PromptKind::Password), "{replayed:?}");
    assert!((waiting..typed).contains(&span.from_ms), "{span:?}");
    assert!(matches!(replayed.changes[0], (_, Change::Blocked(_))));
    let names: Vec<&str> = baselines(&recording).into_iter().map(|(name, _)| name).collect();
    assert!(!names.is_empty());
}

#[tokio::test]
async fn what_does_not_come_is_quoted_with_its_screen() {
    let (_, played) = recorded("missing").await;
    let Err(PlayError::Missing { step: 1, expected, screen, .. }) = played else { panic!("{played:?}") };
    assert_eq!((&*expected, screen.trim()), ("never", "something else"));
}

#[tokio::test]
async fn nothing_is_typed_into_a_command_that_has_ended() {
    let (_, played) = recorded("gone").await;
    let Err(PlayError::Ended { step: 1, code: 4, screen }) = played else { panic!("{played:?}") };
    assert_eq!(screen.trim(), "bye");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let start = |argv: &[&str]| Start {
        argv: argv.iter().map(|one| (*one).to_owned()).collect(),
        env: BTreeMap::new(),
        directory: "/".into(),
        header: Header {
            size: TermSize::default(),
            started_ms: 0,
            command: String::new(),
            program: None,
            scenario: None,
            profile: None,
        },
    };
    for (argv, why) in [(&[][..], "no program is given"), (&["/no/program"], "no such file"), (&["a\0b"], "")]
    {
        let Err(RecordError::Program { why: said, .. }) = Recorder::start(&start(argv), Vec::new()) else {
            panic!("{argv:?} was started")
        };
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn scenarios_that_cannot_be_played_are_refused() {
    let parse = |steps: &str| {
        let text = format!("program = 'p'\n[[scenario]]\nname = 's'\nargv = ['p']\nsteps = [{steps}]");
        Scenarios::parse(&text).map_err(|error| error.to_string())
    };
    assert_eq!(parse("{ expect = 'x' }").unwrap().scenario[0].cols, TermSize::default().cols);
    for (steps, why) in [
        ("{ waiting = 'password', working = true }", "scenario `s`, step 1: it either waits or works"),
        ("{}, { hold = -1.0 }", "step 2: times are from 0 to 3600 seconds"),
        ("{ waiting = 'passwort' }", "no kind of prompt `passwort`"),
        ("{ expects = 'x' }", "unknown field"),
    ] {
        let said = parse(steps).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let nameless = Scenarios::parse("program = 'p'\n[[scenario]]\nname = ''\nargv = []\nsteps = []");
    assert!(nameless.unwrap_err().to_string().contains("needs a name and a program"));
    let unknown = Scenarios::parse(SCENARIOS).unwrap().find("other").unwrap_err().to_string();
    assert_eq!(unknown, "there is no scenario `other` in it; there are password, missing, gone");
}
