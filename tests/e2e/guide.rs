//! The commands of the guide about several machines, as they stand there, on three nodes.
//!
//! Owns how a page is read: prompts name the machine, and a word that ends in `…` stands for a value that an earlier output showed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use regex::{Regex, escape};

use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Running, eventually_within};
use crate::rooms::SLOW;

const PAGE: &str = include_str!("../../docs/guide/federation.md");

/// A word that is cut.
static CUT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[^\s']+…").unwrap());

/// A part of the page that is to be done.
enum Step<'a> {
    /// The first line of the file says what it is; its name is that of the DAG.
    File { name: &'a str, text: &'a str },
    /// A command of a machine, and what it is to print.
    Command { machine: &'a str, line: &'a str, prints: Vec<&'a str> },
}

/// The blocks of code of a section, in their order.
fn steps(section: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for block in section.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        if language == "toml" {
            let name = text.split('"').nth(1).unwrap();
            steps.push(Step::File { name, text });
            continue;
        }
        assert_eq!(language, "console");
        for line in text.lines() {
            match (line.split_once("$ "), steps.last_mut()) {
                (Some((machine, line)), _) => {
                    steps.push(Step::Command { machine, line, prints: Vec::new() });
                }
                (None, Some(Step::Command { prints, .. })) => prints.push(line),
                _ => panic!("no command prints this: {line}"),
            }
        }
    }
    steps
}

/// The machines of the page, and the values that its cut words stand for.
struct Machines {
    nodes: BTreeMap<&'static str, (Cis, User)>,
    homeserver: String,
    values: BTreeMap<String, String>,
}

impl Machines {
    fn new(synapse: &Synapse) -> Self {
        let node = |name| (name, (Cis::new(), synapse.register(name)));
        Self {
            nodes: ["laptop", "builder", "tester"].map(node).into(),
            homeserver: synapse.url().to_owned(),
            values: BTreeMap::new(),
        }
    }

    /// A text of the page with the values of this machine.
    fn filled(&self, text: &str) -> String {
        let mut filled = text.replace("https://matrix.example.org", &self.homeserver);
        for (name, (_, user)) in &self.nodes {
            filled = filled.replace(&format!("@{name}:example.org"), &user.id);
            filled = filled.replace(&format!("--user {name}"), &format!("--user {}", user.name));
        }
        self.values.iter().fold(filled, |filled, (cut, value)| filled.replace(cut, value))
    }

    fn run(&self, machine: &str, line: &str) -> String {
        let (cis, user) = &self.nodes[machine];
        let mut line = self.filled(line);
        if line.contains("matrix login") {
            // On a terminal it would ask for it.
            cis.write("password", &user.password);
            line.push_str(" --password-stdin < password");
        }
        let mut command: Command = cis.program("sh");
        let program = Path::new(cis.binary()).parent().unwrap();
        command.env("PATH", format!("{}:/usr/bin:/bin", program.display())).args(["-c", &line]);
        Running::start(command).wait().expect(0).stdout
    }

    /// Whether this was printed; learns what the cut words stand for.
    fn shows(&mut self, printed: &str, expected: &str) -> bool {
        let expected = self.filled(expected);
        let cut: Vec<&str> = CUT.find_iter(&expected).map(|word| word.as_str()).collect();
        let words = |text: &str| text.split_whitespace().map(escape).collect::<Vec<_>>().join(r"\s+");
        let pattern = CUT.split(&expected).map(|part| {
            let edge = |is: bool| if is { r"\s*" } else { "" };
            let starts = part.starts_with(char::is_whitespace);
            let ends = part.ends_with(char::is_whitespace);
            format!("{}{}{}", edge(starts), words(part), edge(ends))
        });
        let pattern = pattern.collect::<Vec<_>>().join(r"([^\s']+)");
        let Some(found) = Regex::new(&format!("(?m)^{pattern}$")).unwrap().captures(printed) else {
            return false;
        };
        for (word, value) in cut.into_iter().zip(found.iter().skip(1).flatten()) {
            self.values.insert(word.to_owned(), value.as_str().to_owned());
        }
        true
    }
}

#[test]
fn three_machines_share_a_run_by_the_commands_of_the_guide() {
    let section = PAGE.split("## From one machine to three").nth(1).unwrap();
    let section = section.split("\n##").next().unwrap();
    let synapse = Synapse::shared();
    let mut machines = Machines::new(&synapse);
    let mut commands = 0;
    for step in steps(section) {
        match step {
            Step::File { name, text } => {
                assert!(section.contains(&format!("`{name}.toml`")));
                fs::write(machines.nodes["laptop"].0.work().join(format!("{name}.toml")), text).unwrap();
            }
            Step::Command { machine, line, prints } if line == "cis node list" => {
                commands += 1;
                // A node that has no name from an owner has that of its machine.
                let row = |row: &str| {
                    let mut words = row.split_whitespace().map(str::to_owned);
                    let (name, state) = (words.next()?, words.next()?);
                    Some((if state == "here" { machine.to_owned() } else { name }, state))
                };
                let names = |text: &str| text.lines().filter_map(row).collect::<BTreeSet<_>>();
                let expected = names(&prints.join("\n"));
                eventually_within(SLOW, "all nodes are there", || {
                    (names(&machines.run(machine, line)) == expected).then_some(())
                });
            }
            Step::Command { machine, line, prints } => {
                commands += 1;
                let printed = machines.run(machine, line);
                for expected in prints {
                    assert!(machines.shows(&printed, expected), "{line}\n{printed}\nhas no {expected}");
                }
            }
        }
    }
    assert_eq!(commands, 16);
    let log = machines.run("laptop", "cis dag logs test --plain");
    assert!(log.contains("Linux"), "{log}");
}
