//! Every help text as a snapshot, and the shape of the tree.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_tree_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_help() {
    fn visit(command: &mut clap::Command, path: &str) {
        let text = command.render_long_help().to_string();
        insta::assert_snapshot!(path.replace(' ', "_"), text);
        let names: Vec<String> = command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            .map(|sub| sub.get_name().to_owned())
            .collect();
        for name in names {
            if let Some(sub) = command.find_subcommand_mut(&name) {
                visit(sub, &format!("{path} {name}"));
            }
        }
    }
    // No environment variable and no terminal decides how the text looks.
    let mut root = Cli::command().term_width(100);
    root.build();
    visit(&mut root, "cis");
}

/// Words of a line as a shell splits it: quotes group, nothing is replaced.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_shows_examples_and_understands_them() {
    fn visit(command: &clap::Command, path: &str) {
        let below: Vec<_> =
            command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").collect();
        for sub in &below {
            visit(sub, &format!("{path} {}", sub.get_name()));
        }
        if !below.is_empty() {
            return;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (_, examples) =
            help.split_once("Examples:\n").unwrap_or_else(|| panic!("{path} has no examples"));
        let mut own = 0;
        for line in examples.lines() {
            let Some(at) = line.find("cis ") else { continue };
            let call: Vec<_> = words(&line[at..].replace(')', " "))
                .into_iter()
                .take_while(|word| word != "|" && word != ">")
                .collect();
            own += usize::from(call.join(" ").starts_with(path));
            if let Err(error) = Cli::try_parse_from(&call) {
                panic!("{path}: `{line}`: {error}");
            }
        }
        assert!(own > 0, "{path} shows no example of itself");
    }
    let mut root = Cli::command();
    root.build();
    visit(&root, "cis");
}

/// Lines of the blocks of shell in a page that call cis, without what the shell does with them.
fn calls(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|piece| piece.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.trim_start_matches("$ "));
    lines.filter(|line| line.starts_with("cis ")).map(str::to_owned).collect()
}

#[test]
fn every_command_in_the_guide_is_understood() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("docs/runbook.md")];
    pages.extend(std::fs::read_dir(root.join("docs/guide")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = 0;
    for page in pages {
        for line in calls(&std::fs::read_to_string(&page).unwrap()) {
            let ends =
                |word: &String| ["|", ">", "&&", ";", "&", "<"].contains(&word.as_str()) || word == "#";
            let call: Vec<_> = words(&line).into_iter().take_while(|word| !ends(word)).collect();
            let read = Cli::try_parse_from(&call);
            let is_fine = read.as_ref().err().is_none_or(|error| error.exit_code() == 0);
            assert!(is_fine, "{}: `{line}`: {}", page.display(), read.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 50, "the guide has lost its commands: {seen}");
}

#[test]
fn arguments_are_read() {
    let cli = |line: &str| Cli::try_parse_from(line.split_whitespace());
    for good in [
        "cis dag run f.toml --param a=1 --param b=x=y",
        "cis dag run - --create-only --json",
        "cis dag execute --run-id x --local --detach",
        "cis dag retry x --from build --from test",
        "cis dag logs build -f --plain --attempt 2 --run r",
        "cis dag unblock s --keys C-c",
        "cis dag attach --read-only",
        "cis session create --name n --no-tty -- sh -c true",
        "cis session exec s text --wait-for done --timeout 30m",
        "cis node stop --kill-sessions",
        "cis --home /x status --no-color",
        "cis session create --idle --lifetime 1h -- bash",
        "cis -c node.max_sessions=3 node start",
        "cis completions zsh",
        "cis man dag run",
    ] {
        assert!(cli(good).is_ok(), "{good}: {}", cli(good).unwrap_err());
    }
    for bad in [
        "cis",
        "cis dag run",
        "cis dag run f --param novalue",
        "cis dag run f --create-only --detach",
        "cis dag execute",
        "cis dag execute f --run-id x",
        "cis dag retry x --failed --from y",
        "cis dag unblock s",
        "cis dag unblock s --text a --keys b",
        "cis session create",
        "cis session exec s text --timeout much",
        "cis session create --idle 0s -- bash",
    ] {
        assert_eq!(cli(bad).unwrap_err().exit_code(), 2, "{bad}");
    }
}

#[test]
fn a_subcommand_of_another_command_is_suggested() {
    let said = |line: &str| {
        let mut error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        suggest(&mut error);
        error.to_string()
    };
    for line in ["cis session attach build", "cis attach", "cis task attach --read-only"] {
        let text = said(line);
        assert!(text.contains("tip: a command with this name exists: 'cis dag attach'\n"), "{line}: {text}");
    }
    let several = said("cis task status");
    assert!(several.contains("exist: 'cis node status', 'cis status'"), "{several}");
    for line in ["cis session lst", "cis dag run", "cis dag run f --attach", "cis session session-host"] {
        assert!(!said(line).contains("with this name"), "{line}");
    }
}

#[test]
fn a_usage_error_is_a_problem_where_json_is_asked_for() {
    let usage = |line: &str| {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        CliError::usage(&error).map(|usage| (usage.detail().to_owned(), usage.exit()))
    };
    let (detail, exit) = usage("cis dag lst --json").unwrap();
    assert_eq!((&*detail, exit), ("unrecognized subcommand 'lst'", Exit(2)));
    assert!(usage("cis dag run").unwrap().0.contains("required arguments"));
    assert!(usage("cis --version").is_none() && usage("cis dag run --help").is_none());
    let asks = |line: &str| asks_for_json(line.split_whitespace().map(Into::into));
    assert!(asks("cis dag lst --json") && asks("cis --json dag lst -- x"));
    assert!(!asks("cis dag lst") && !asks("cis session create -- x --json"));
}

#[test]
fn every_command_is_in_the_page_about_json() {
    fn visit(command: &clap::Command, path: &str, page: &str) {
        let below: Vec<_> =
            command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").collect();
        for sub in &below {
            visit(sub, &format!("{path} {}", sub.get_name()), page);
        }
        let short = path.trim_start_matches("cis ");
        let forms = [format!("`{short}`"), format!("`{short} "), format!("`{path}`"), format!("`{path} ")];
        let is_named = forms.iter().any(|form| page.contains(form));
        assert!(!below.is_empty() || is_named, "docs/reference/json.md does not say what `{path}` prints");
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/json.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut root = Cli::command();
    root.build();
    visit(&root, "cis", &page);
}
