use super::*;
use crate::dag::spec::read::{Placed, Reader};
use crate::dag::spec::toml_tree;

/// The profiles of a configuration's `[agents.NAME]` tables, or what is wrong with them.
fn agents(text: &str) -> Result<Agents, Vec<String>> {
    let tree = toml_tree(text).unwrap_or_else(|_| panic!("{text}"));
    let mut reader = Reader::default();
    let mut resolver = Resolver::default();
    for (name, node) in &tree {
        let Some(table) = node.get_ref().as_table() else { panic!("{name} is no table") };
        let (extends, layer) = read(&mut reader, name.get_ref(), table);
        let name = Placed { value: name.get_ref().clone().into_owned(), span: name.span() };
        resolver.add(name, extends, layer);
    }
    let agents = resolver.finish(&mut reader);
    if reader.mistakes.is_empty() {
        return Ok(agents);
    }
    let wrong = reader.mistakes.finish(text, "x");
    Err(wrong.findings.into_iter().map(|finding| finding.message).collect())
}

#[test]
fn what_is_built_in_has_no_mistake_and_says_all_that_a_start_needs() {
    for (name, text) in book::builtin_files().filter(|(name, _)| *name != "plain") {
        let mut reader = Reader::default();
        let tree = toml_tree(text).unwrap_or_else(|_| panic!("{name} is not TOML"));
        let (extends, layer) = read(&mut reader, name, &tree);
        assert!(reader.mistakes.is_empty(), "{name}: {}", reader.mistakes.finish(text, name));
        assert_eq!(Agents::default().get(name).unwrap().screen.profile().name, name);
        assert!(extends.is_none() && layer.command.is_some() && !layer.exit.unwrap().is_empty(), "{name}");
        let agent = Agents::default();
        let agent = agent.get(name).unwrap();
        assert_eq!(agent.account, *name);
    }
}

#[test]
fn a_prompt_stays_one_argument_whatever_it_holds() {
    let agents = Agents::default();
    let prompt = "--yolo; $(id)\n`x` \"y\" 'z'";
    for name in ["claude", "codex", "llm"] {
        let launch = agents.get(name).unwrap().launch(Some(prompt)).unwrap();
        let [.., dashes, last] = launch.argv.as_slice() else { panic!("{launch:?}") };
        assert_eq!((dashes.as_str(), last.as_str()), ("--", prompt), "{name}");
    }
    for (name, start) in [
        ("gemini", "--prompt-interactive="),
        ("qwen", "--prompt-interactive="),
        ("copilot", "--interactive="),
        ("opencode", "--prompt="),
        ("aider", "--message="),
    ] {
        let launch = agents.get(name).unwrap().launch(Some(prompt)).unwrap();
        assert_eq!(launch.argv.last().unwrap(), &format!("{start}{prompt}"), "{name}");
    }
    assert!(matches!(agents.get("shell").unwrap().launch(Some("make")), Err(LaunchError::None { .. })));
    let launch = agents.get("gemini").unwrap().launch(None).unwrap();
    assert_eq!(launch, Launch { argv: vec!["gemini".to_owned()], ..Launch::default() });
}

#[test]
fn prompts_that_no_way_can_carry_are_refused() {
    let all = agents(
        "[pipe]\ncommand = [\"x\"]\nprompt = \"stdin\"\n[chat]\ncommand = [\"x\"]\nprompt = \"typed\"\n",
    )
    .unwrap();
    let long = "x".repeat(200_000);
    let gemini = all.get("gemini").unwrap();
    assert!(matches!(gemini.launch(Some(&long)), Err(LaunchError::TooLong { .. })));
    let pipe = all.get("pipe").unwrap();
    assert_eq!(pipe.launch(Some(&long)).unwrap().stdin.as_deref(), Some(long.as_str()));
    assert!(matches!(pipe.launch(Some("a\0b")), Err(LaunchError::Unfit { what: "NUL", .. })));
    let chat = all.get("chat").unwrap();
    assert_eq!(chat.launch(Some("make\nls")).unwrap().typed.as_deref(), Some("make\nls"));
    assert!(matches!(chat.launch(Some("ls\u{3}")), Err(LaunchError::Unfit { what: "control", .. })));
}

#[test]
fn a_profile_says_only_what_is_other_than_in_the_one_it_extends() {
    let all = agents(
        "[gemini]\nenv = { A = \"1\" }\n\
         [work]\nextends = \"gemini\"\ncommand = [\"/opt/gemini\"]\nenv = { B = \"2\" }\n\
         [other]\nextends = \"work\"\naccount = \"second\"\ntimeout = \"5m\"\n",
    )
    .unwrap();
    let gemini = all.get("gemini").unwrap();
    assert_eq!((gemini.command.as_slice(), gemini.env.len()), (["gemini".to_owned()].as_slice(), 1));
    let work = all.get("work").unwrap();
    assert_eq!(work.command, ["/opt/gemini"]);
    assert_eq!(work.env.iter().map(|(k, v)| format!("{k}{v}")).collect::<String>(), "A1B2");
    assert_eq!((work.idle, work.account.as_str()), (Idle::Done, "gemini"));
    let other = all.get("other").unwrap();
    assert_eq!((other.command.as_slice(), other.account.as_str()), (work.command.as_slice(), "second"));
    assert_eq!((other.timeout_ms, work.timeout_ms), (Some(300_000), gemini.timeout_ms));
}

#[test]
fn mistakes_are_told_with_what_was_meant() {
    let wrong = agents(
        "[a]\ncomand = [\"x\"]\n\
         [b]\nextends = \"gemni\"\n\
         [c]\nextends = \"d\"\n[d]\nextends = \"c\"\n\
         [e]\ncommand = \"x y\"\nprompt = \"type\"\n\
         [f]\ncommand = []\nexit = [\"\"]\nenv = { CIS_X = \"1\" }\n\
         [g]\ncommand = [\"x\"]\nprompt_args = [\"{prompt}\", \"{prompt}\"]\nidle = \"stop\"\n",
    )
    .unwrap_err();
    let wrong = wrong.join("\n");
    for said in [
        "unknown key `comand` in agent `a`: did you mean `command`?",
        "agent `a` has no command",
        "there is no agent `gemni`: did you mean \"gemini\"?",
        "agent `c` extends itself by way of",
        "`command` must be an array of strings",
        "`type` is not a prompt",
        "`command` names no program",
        "`exit` is at most 8 texts",
        "`CIS_X` cannot be the name of a variable",
        "`prompt_args` has more than one {prompt}",
        "`stop` is not a idle",
    ] {
        assert!(wrong.contains(said), "{said} in:\n{wrong}");
    }
}
