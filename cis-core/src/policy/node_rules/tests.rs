use std::collections::BTreeMap;

use proptest::prelude::*;

use super::command::{Covered, covers, matches_glob, mentions};
use super::*;
use crate::identity::NodeKey;

/// The DIDs of Ann's and Bob's nodes.
fn ann() -> NodeDid {
    NodeKey::from_seed(&[1; 32]).did()
}

fn bob() -> NodeDid {
    NodeKey::from_seed(&[2; 32]).did()
}

fn argv(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

fn sh(text: &str) -> Program {
    Program::Script { shell: "sh".to_owned(), text: text.to_owned() }
}

fn agent(name: &str) -> Program {
    Program::Agent { agent: name.to_owned(), prompt: "rm -rf /".to_owned() }
}

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn rule(effect: RuleEffect, change: impl FnOnce(&mut NodeRule)) -> NodeRule {
    let mut rule = NodeRule::new(effect);
    change(&mut rule);
    rule
}

fn command(effect: RuleEffect, pattern: &str) -> NodeRule {
    rule(effect, |rule| rule.command = Some(pattern.to_owned()))
}

fn rules(all: Vec<NodeRule>) -> NodeRules {
    let mut rules = NodeRules::default();
    for rule in all {
        let number = rules.number_for(&rule).unwrap();
        rules.apply(number, Some(rule), "uid:1000", 5);
    }
    rules
}

/// Asks about a program in `!r:x`, from a run that Ann submitted and Bob coordinates.
fn decided(rules: &NodeRules, program: &Program, variables: &[(&str, &str)]) -> Verdict {
    let (by, coordinator) = ([ann()], bob());
    let tags = ["gpu".to_owned()];
    rules.decide(&Asked {
        room: Some("!r:x"),
        by: &by,
        coordinator: Some(&coordinator),
        tags: Some(&tags),
        program,
        env: &env(variables),
    })
}

fn is_covered(pattern: &str, program: &Program) -> bool {
    covers(pattern, &[], program, &BTreeMap::new()) == Covered::Whole
}

fn is_mentioned(pattern: &str, program: &Program) -> bool {
    mentions(pattern, program, &BTreeMap::new())
}

#[test]
fn without_rules_everything_is_as_the_role_says() {
    assert_eq!(decided(&rules(vec![]), &sh("true"), &[]), Verdict::NoRule);
    let denies = rules(vec![command(RuleEffect::Deny, "rm *")]);
    assert_eq!(decided(&denies, &sh("true"), &[]), Verdict::NoRule, "a deny rule closes nothing else");
}

#[test]
fn deny_wins_and_allow_closes_the_rest_of_its_room() {
    let both = rules(vec![command(RuleEffect::Allow, "make *"), command(RuleEffect::Deny, "make install*")]);
    assert_eq!(decided(&both, &sh("make test"), &[]), Verdict::Allowed(1));
    let denied = decided(&both, &sh("make install"), &[]);
    assert!(!denied.executes());
    assert_eq!(
        denied.to_string(),
        "rule 2 of the node's policy denies it (`deny --command 'make install*'`)"
    );
    assert_eq!(decided(&both, &sh("cargo test"), &[]), Verdict::NotAllowed(None));
    let elsewhere = rules(vec![rule(RuleEffect::Allow, |rule| {
        (rule.room, rule.command) = (Some("!other:x".to_owned()), Some("make *".to_owned()));
    })]);
    assert_eq!(decided(&elsewhere, &sh("cargo test"), &[]), Verdict::NoRule);
}

#[test]
fn all_selectors_of_a_rule_must_match() {
    let selectors: [fn(&mut NodeRule); 5] = [
        |rule| rule.room = Some("!r:x".to_owned()),
        |rule| rule.by = Some(ann()),
        |rule| rule.coordinator = Some(bob()),
        |rule| rule.tag = Some("gpu".to_owned()),
        |rule| rule.agent = Some("claude".to_owned()),
    ];
    let others: [fn(&mut NodeRule); 5] = [
        |rule| rule.room = Some("!s:x".to_owned()),
        |rule| rule.by = Some(bob()),
        |rule| rule.coordinator = Some(ann()),
        |rule| rule.tag = Some("arm".to_owned()),
        |rule| rule.agent = Some("codex".to_owned()),
    ];
    let all = rule(RuleEffect::Deny, |rule| selectors.iter().for_each(|set| set(rule)));
    assert!(matches!(decided(&rules(vec![all.clone()]), &agent("claude"), &[]), Verdict::Denied(1, _)));
    for other in others {
        let mut changed = all.clone();
        other(&mut changed);
        assert_eq!(decided(&rules(vec![changed.clone()]), &agent("claude"), &[]), Verdict::NoRule);
        changed.effect = RuleEffect::Allow;
        assert!(decided(&rules(vec![changed]), &agent("claude"), &[]).rule().is_none());
    }
    let program = sh("true");
    assert_eq!(decided(&rules(vec![all]), &program, &[]), Verdict::NoRule, "it is no agent");
}

/// Unknown values match deny rules, and no allow rules.
#[test]
fn what_is_not_known_matches_deny_rules_alone() {
    let (program, none) = (sh("true"), BTreeMap::new());
    let nothing = Asked { room: None, by: &[], coordinator: None, tags: None, program: &program, env: &none };
    let selectors: [fn(&mut NodeRule); 4] = [
        |rule| rule.room = Some("!r:x".to_owned()),
        |rule| rule.by = Some(ann()),
        |rule| rule.coordinator = Some(bob()),
        |rule| rule.tag = Some("gpu".to_owned()),
    ];
    for set in selectors {
        for effect in [RuleEffect::Allow, RuleEffect::Deny] {
            let rules = rules(vec![rule(effect, set)]);
            assert!(!rules.decide(&nothing).executes(), "{rules:?}");
        }
    }
}

#[test]
fn a_command_is_its_words_and_no_word_looks_like_several() {
    assert!(is_covered("make *", &argv(&["make", "test"])));
    assert!(is_covered("git commit -m *", &argv(&["git", "commit", "-m", "a; rm b"])), "no shell reads it");
    assert!(!is_covered("make *", &argv(&["make"])));
    assert!(!is_covered("make *", &argv(&["make test", "all"])));
    assert!(!is_covered("make *", &argv(&["/tmp/make", "test"])));
    assert!(!is_covered("*", &argv(&[])));
    assert!(
        is_covered("echo 'a b'", &argv(&["echo", "a b"])) && !is_covered("echo a b", &argv(&["echo", "a b"]))
    );
}

/// Each of these runs, or may run, more than `make x`.
#[test]
fn a_shell_command_that_could_run_more_is_covered_only_by_itself() {
    let more = [
        "make x; rm y",
        "make x & rm y",
        "make x | rm y",
        "make x `rm y`",
        "make x $(rm y)",
        "make x ${Y:-$(rm y)}",
        "make x $Y",
        "make x > /etc/passwd",
        "make x < /etc/shadow",
        "make x <(rm y)",
        "make x\nrm y",
        "make x\rrm y",
        "make () ( rm y )",
        "make {x,y}",
        "make x*",
        "make x # y",
        "make x \\",
        "make ~/x",
        "make !x",
        "make x\u{a0}y",
        "make\u{2028}rm y",
    ];
    for text in more {
        assert!(!is_covered("make *", &sh(text)), "{text:?}");
        assert!(is_covered(text, &sh(text)), "{text:?}");
    }
    assert!(is_covered("make *", &sh("\n  make -j4 CC=\"gcc -O2\" 'x y'\n")));
    assert!(!is_covered("*make *", &sh("LD_PRELOAD=./a.so make x")), "the first word is an assignment");
    assert!(!is_covered("make *", &sh("\u{a0}make x")), "no shell skips this space");
}

#[test]
fn only_texts_of_known_shells_are_command_lines() {
    let script = |shell: &str| Program::Script { shell: shell.to_owned(), text: "make x".to_owned() };
    for shell in ["sh", "bash", "/bin/sh", "/usr/bin/zsh"] {
        assert!(is_covered("make *", &script(shell)), "{shell}");
    }
    for shell in ["python3", "./sh", "/tmp/sh", "bin/sh", "/bin/../tmp/sh", "/bin//sh"] {
        assert!(!is_covered("make *", &script(shell)), "{shell}");
    }
    assert!(is_covered("python3 -c 'make x'", &script("python3")));
    assert!(!is_covered("*", &script("python3")));
}

#[test]
fn variables_of_the_task_have_to_be_named() {
    let (program, allow) = (sh("make x"), command(RuleEffect::Allow, "make *"));
    let rules_of = |rule: &NodeRule| rules(vec![rule.clone()]);
    for variable in ["PATH", "LD_PRELOAD", "BASH_ENV", "CIS_TOKEN", "CIS_V", "CIS_V1x", "MAKEFLAGS"] {
        let verdict = decided(&rules_of(&allow), &program, &[(variable, "x")]);
        let near = NearMiss { rule: 1, variable: variable.to_owned() };
        assert_eq!(verdict, Verdict::NotAllowed(Some(near)));
        assert!(verdict.to_string().ends_with(&format!("(`--env {variable}`)")), "{verdict}");
    }
    assert_eq!(decided(&rules_of(&allow), &program, &[("CIS_V12", "x")]), Verdict::Allowed(1));
    let named = NodeRule { env: vec!["CC".to_owned()], ..allow };
    assert_eq!(decided(&rules_of(&named), &program, &[("CC", "gcc")]), Verdict::Allowed(1));
    assert!(!decided(&rules_of(&named), &program, &[("CC", "gcc"), ("PATH", ".")]).executes());
}

#[test]
fn an_agent_is_no_command_that_could_be_allowed() {
    assert!(!is_covered("*", &agent("claude")));
    assert!(is_mentioned("*", &agent("claude")) && is_mentioned("claude", &agent("claude")));
    assert!(!is_mentioned("rm *", &agent("claude")), "its prompt is no command");
}

#[test]
fn a_deny_rule_finds_its_command_anywhere() {
    for text in [
        "rm -rf x",
        "true; rm -rf x",
        "true&&rm -rf x",
        "true\nrm\t-rf x",
        "/bin/rm -rf x",
        "echo $(rm -rf x)",
        "`rm x`",
        "r'm' -rf x",
        "r\\m x",
        "\"rm\" x",
        "rm${IFS}-rf x",
        "find . -exec rm {} +",
        "echo rm x",
    ] {
        assert!(is_mentioned("rm *", &sh(text)), "{text:?}");
    }
    for text in ["farm x", "rmdir x", "echo warm", "rm-old x", "true"] {
        assert!(!is_mentioned("rm *", &sh(text)), "{text:?}");
    }
    assert!(is_mentioned("rm *", &argv(&["sh", "-c", "true; rm x"])));
    assert!(is_mentioned("rm *", &argv(&["/usr/bin/env", "rm", "x"])));
    assert!(is_mentioned("rm", &sh("true; rm; true")));
    assert!(is_mentioned("python3*", &Program::Script { shell: "python3".to_owned(), text: "1".to_owned() }));
    assert!(mentions("rm *", &sh("$CIS_V1"), &env(&[("CIS_V1", "rm -rf x")])));
    assert!(mentions("LD_PRELOAD=*", &sh("true"), &env(&[("LD_PRELOAD", "./a.so")])));
    assert!(is_mentioned("rm -rf /", &sh("rm -rf /")) && !is_mentioned("rm -rf /", &sh("rm -rf /tmp/x")));
}

#[test]
fn rules_that_match_everything_or_nothing_are_refused() {
    let allow = |change: fn(&mut NodeRule)| check(&rule(RuleEffect::Allow, change));
    assert_eq!(allow(|_| {}), Err(BadRule::NoSelector));
    assert_eq!(allow(|rule| rule.env = vec!["A".to_owned()]), Err(BadRule::NoSelector));
    assert_eq!(allow(|rule| rule.command = Some(" ".to_owned())), Err(BadRule::Empty("command")));
    assert_eq!(allow(|rule| rule.tag = Some("x".repeat(1001))), Err(BadRule::Unusable("tag")));
    assert_eq!(allow(|rule| rule.command = Some("a\0".to_owned())), Err(BadRule::Unusable("command")));
    assert_eq!(allow(|rule| rule.room = Some("#r:x".to_owned())), Err(BadRule::NotARoom("#r:x".to_owned())));
    assert_eq!(
        allow(|rule| rule.by = Some(NodeDid("did:key:zz".to_owned()))),
        Err(BadRule::NotADid("did:key:zz".to_owned()))
    );
    let both = allow(|rule| (rule.agent, rule.command) = (Some("a".to_owned()), Some("b".to_owned())));
    assert_eq!(both, Err(BadRule::AgentAndCommand));
    let denied = NodeRule { env: vec!["A".to_owned()], ..command(RuleEffect::Deny, "x") };
    assert_eq!(check(&denied), Err(BadRule::Env));
}

#[test]
fn numbers_are_never_given_twice_and_the_list_has_an_end() {
    let mut list = rules(vec![command(RuleEffect::Deny, "a"), command(RuleEffect::Deny, "b")]);
    let revision = list.revision();
    list.apply(2, None, "uid:1000", 6);
    assert_ne!(list.revision(), revision);
    assert_eq!(list.number_for(&command(RuleEffect::Deny, "c")), Ok(3));
    let kept: Vec<KeptRule> = list.kept().cloned().collect();
    assert_eq!((NodeRules::restored(kept, 2), list.get(2)), (list.clone(), None));
    for n in 3..=201 {
        list.apply(n, Some(command(RuleEffect::Deny, "c")), "uid:1000", 6);
    }
    assert_eq!(list.number_for(&command(RuleEffect::Deny, "c")), Err(BadRule::Full));
}

/// The definition of a glob, without a thought for time.
fn matches_slowly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([b'*', pattern @ ..], text) => (0..=text.len()).any(|at| matches_slowly(pattern, &text[at..])),
        ([own, pattern @ ..], [c, text @ ..]) => own == c && matches_slowly(pattern, text),
        _ => false,
    }
}

fn program() -> impl Strategy<Value = Program> {
    let text = "[a-c \\n;&|`$()<>'\"=/*-]{0,12}";
    prop_oneof![
        proptest::collection::vec("[ab ;'*=/]{0,4}", 0..4).prop_map(Program::Argv),
        text.prop_map(|text| sh(&text)),
        text.prop_map(|text| Program::Script { shell: "python3".to_owned(), text }),
        "[ab]".prop_map(|name| agent(&name)),
    ]
}

fn any_rule() -> impl Strategy<Value = NodeRule> {
    let room = proptest::option::of(prop_oneof![Just("!r:x".to_owned()), Just("!s:x".to_owned())]);
    let did = || proptest::option::of(prop_oneof![Just(ann()), Just(bob())]);
    let tag = proptest::option::of(prop_oneof![Just("gpu".to_owned()), Just("arm".to_owned())]);
    let pattern = proptest::option::of("[ab*][ab *;]{0,5}");
    (any::<bool>(), room, did(), tag, pattern).prop_filter_map(
        "no selector",
        |(allows, room, by, tag, command)| {
            let effect = if allows { RuleEffect::Allow } else { RuleEffect::Deny };
            let made =
                rule(effect, |rule| (rule.room, rule.by, rule.tag, rule.command) = (room, by, tag, command));
            check(&made).is_ok().then_some(made)
        },
    )
}

proptest! {
    #[test]
    fn a_glob_is_what_its_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        prop_assert_eq!(
            matches_glob(&pattern, &text),
            matches_slowly(pattern.as_bytes(), text.as_bytes())
        );
    }

    /// What an allow rule covers, a deny rule with the same pattern finds.
    #[test]
    fn a_deny_rule_finds_all_that_an_allow_rule_covers(pattern in "[a-c*][a-c *;'=/-]{0,6}", program in program()) {
        if is_covered(&pattern, &program) {
            prop_assert!(is_mentioned(&pattern, &program), "{pattern:?} {program:?}");
        }
    }

    /// A pattern with a wildcard never covers a text with a character that means something to a shell.
    #[test]
    fn no_wildcard_covers_what_a_shell_reads(
        before in "[a-z ]{0,5}",
        mark in "[;&|`$<>(){}\\\\\n\r#*?!~^\\[\\]]",
        after in "[a-z ]{0,5}",
    ) {
        let text = format!("make {before}{mark}{after}x");
        for pattern in ["make *", "*", "make *x", "*x"] {
            prop_assert!(pattern == text || !is_covered(pattern, &sh(&text)), "{pattern:?} {text:?}");
        }
    }

    /// The program of a command that an allow rule covers is the one that its pattern names.
    #[test]
    fn the_program_is_the_first_word_of_the_pattern(words in proptest::collection::vec("[a-z ';*]{0,6}", 1..4)) {
        let program = Program::Argv(words.clone());
        if is_covered("make *", &program) {
            prop_assert_eq!(&words[0], "make");
        }
    }

    #[test]
    fn a_deny_rule_finds_its_command_between_any_others(
        before in "[a-z /.'\"]{0,10}[ ;&|\n(`/]",
        after in "[ ;&|\n)`\"']?[a-z -]{0,10}",
    ) {
        let text = format!("{before}rm -rf{after}");
        let text = if after.starts_with(|c: char| c.is_alphanumeric() || c == '-') { format!("{before}rm -rf {after}") } else { text };
        prop_assert!(is_mentioned("rm -rf", &sh(&text)), "{text:?}");
    }

    /// Deny wins: another deny rule never opens anything, and removing an allow rule never opens a room in which others are left.
    #[test]
    fn a_rule_that_denies_never_opens(all in proptest::collection::vec(any_rule(), 0..6), more in any_rule(), program in program()) {
        let executes = |all: &[NodeRule]| decided(&rules(all.to_vec()), &program, &[]).executes();
        let mut denied = all.clone();
        denied.push(NodeRule { effect: RuleEffect::Deny, ..more });
        prop_assert!(!executes(&denied) || executes(&all));
        let speaks = |rule: &NodeRule| rule.effect == RuleEffect::Allow && rule.room.as_deref() != Some("!s:x");
        for at in 0..all.len() {
            let mut fewer = all.clone();
            let removed = fewer.remove(at);
            if removed.effect == RuleEffect::Allow && fewer.iter().any(speaks) {
                prop_assert!(!executes(&fewer) || executes(&all));
            }
        }
    }
}
