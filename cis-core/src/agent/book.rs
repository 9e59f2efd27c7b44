//! All profiles of a node: those that are built in, and those of the configuration over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::{Agent, Layer, Screen, read};
use crate::dag::diagnose::{Mistake, listed, nearest, quoted};
use crate::dag::spec::read::{Placed, Reader};
use crate::dag::spec::toml_tree;
use crate::dag::{Action, Task};
use crate::monitor::Profile;

/// The profile of shells.
const SHELL: &str = "shell";

/// Profiles by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents(BTreeMap<String, Agent>);

impl Default for Agents {
    fn default() -> Self {
        Self(builtin().iter().map(|(name, layer)| ((*name).to_owned(), finished(name, layer))).collect())
    }
}

impl Agents {
    /// The profile of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Agent> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.0.values()
    }

    /// The profile of a command that names none: the one whose command it begins with, the longest; or whose
    /// program it runs. What runs in a shell is no agent.
    #[must_use]
    pub fn of_command(&self, argv: &[String]) -> Option<&Agent> {
        let program = program_of(argv)?;
        let known = self.0.values().filter(|agent| agent.name != SHELL);
        let fits = known.filter_map(|agent| {
            let begins = argv.starts_with(&agent.command).then_some(agent.command.len() + 1);
            let runs = (program_of(&agent.command) == Some(program)).then_some(0);
            begins.or(runs).map(|rank| (rank, agent))
        });
        fits.max_by_key(|(rank, _)| *rank).map(|(_, agent)| agent)
    }

    /// Gives every task of an agent the account that its profile uses here.
    pub fn assign_accounts(&self, tasks: &mut [Task]) {
        for task in tasks {
            if let Action::Agent { agent, .. } = &task.action {
                task.account = self.get(agent).map(|agent| agent.account.clone());
            }
        }
    }

    /// What to say where a profile is wanted that is not there.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        let names = || self.0.keys().map(String::as_str);
        match nearest(name, names()) {
            Some(near) => format!("there is no agent {}: did you mean `{near}`?", quoted(name)),
            None => format!(
                "there is no agent {}: there are {}; others are made by [agents.NAME] in the configuration",
                quoted(name),
                listed(names())
            ),
        }
    }
}

/// The last part of the path of a command's program.
fn program_of(argv: &[String]) -> Option<&str> {
    argv.first()?.rsplit('/').next()
}

/// The files that are part of the program.
fn builtin() -> &'static BTreeMap<&'static str, Layer> {
    static LAYERS: OnceLock<BTreeMap<&'static str, Layer>> = OnceLock::new();
    LAYERS.get_or_init(|| {
        let files = builtin_files().map(|(name, text)| {
            let mut reader = Reader::default();
            // A test reads each without a mistake.
            let layer = toml_tree(text).map(|tree| read(&mut reader, name, &tree).1).unwrap_or_default();
            (name, layer)
        });
        files.filter(|(_, layer)| layer.command.is_some()).collect()
    })
}

/// Name and text of each.
pub(super) fn builtin_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    Profile::builtin_names().into_iter().filter_map(|name| Some((name, Profile::builtin_text(name)?)))
}

fn finished(name: &str, layer: &Layer) -> Agent {
    let layer = layer.clone();
    Agent {
        name: name.to_owned(),
        command: layer.command.unwrap_or_default(),
        prompt: layer.prompt.unwrap_or_default(),
        prompt_args: layer.prompt_args.unwrap_or_default(),
        env: layer.env,
        account: layer.account.unwrap_or_else(|| name.to_owned()),
        idle: layer.idle.unwrap_or_default(),
        login: layer.login.unwrap_or_default(),
        login_final: layer.login_final.unwrap_or_default(),
        exit: layer.exit.unwrap_or_default(),
        timeout_ms: layer.timeout_ms,
        screen: Screen::builtin(name),
    }
}

/// A profile of the configuration before what it extends is looked up.
struct Written {
    extends: Option<Placed<String>>,
    layer: Layer,
    /// Where it stands.
    name: Placed<String>,
}

/// Puts the profiles of a configuration over those that are built in.
#[derive(Default)]
pub struct Resolver {
    written: BTreeMap<String, Written>,
}

impl Resolver {
    /// Takes one profile.
    pub fn add(&mut self, name: Placed<String>, extends: Option<Placed<String>>, layer: Layer) {
        self.written.insert(name.value.clone(), Written { extends, layer, name });
    }

    /// All of them; what is wrong is told to the reader.
    pub fn finish(&self, reader: &mut Reader) -> Agents {
        let mut agents = Agents::default();
        for (name, written) in &self.written {
            let Some((root, layer)) = self.resolved(reader, written) else { continue };
            if layer.command.is_none() {
                let title = format!("agent {} has no command", quoted(name));
                let help = "add command = [\"program\"], or extends = \"NAME\" of another one";
                reader.wrong(Mistake::new(written.name.span.clone(), title).help(help));
                continue;
            }
            // The same program for the same user has the same login, until somebody says otherwise.
            let account = layer.account.clone().unwrap_or_else(|| root.to_owned());
            let Some(screen) = self.screen(reader, written) else { continue };
            agents.0.insert(name.clone(), Agent { account, screen, ..finished(name, &layer) });
        }
        agents
    }

    /// What it says over what it extends, and so on; and the name of the last one.
    fn resolved<'w>(&'w self, reader: &mut Reader, written: &'w Written) -> Option<(&'w str, Layer)> {
        let mut chain = vec![written];
        let mut seen = BTreeSet::from([written.name.value.as_str()]);
        loop {
            let last = chain.last()?;
            let Some(extends) = &last.extends else { break };
            let base = extends.value.as_str();
            if base != last.name.value && !seen.insert(base) {
                let title = format!(
                    "agent {} extends itself by way of {}",
                    quoted(&written.name.value),
                    quoted(base)
                );
                reader.wrong(Mistake::new(extends.span.clone(), title).help("leave one of these out"));
                return None;
            }
            match self.written.get(base).filter(|_| base != last.name.value) {
                Some(next) => chain.push(next),
                None if builtin().contains_key(base) => break,
                None => {
                    reader.wrong(self.no_base(extends));
                    return None;
                }
            }
        }
        let last = chain.last()?;
        let root = last.extends.as_ref().map_or(&last.name.value, |extends| &extends.value);
        let mut layer = builtin().get(root.as_str()).cloned().unwrap_or_default();
        for written in chain.iter().rev() {
            layer = written.layer.clone().over(&layer);
        }
        Some((root, layer))
    }

    /// How its screen is read: what is built in, and over that what those that it extends say.
    fn screen(&self, reader: &mut Reader, written: &Written) -> Option<Screen> {
        let name = &written.name.value;
        let base = written.extends.as_ref().map_or(name, |extends| &extends.value);
        let below = match self.written.get(base).filter(|_| base != name) {
            Some(base) => self.screen(reader, base)?,
            None => Screen::builtin(base),
        };
        let Some(table) = &written.layer.screen else { return Some(below) };
        match below.with(name, table) {
            Ok(screen) => Some(screen),
            Err(error) => {
                let title = format!("the screen of agent {} cannot be read so", quoted(name));
                reader.wrong(Mistake::new(written.name.span.clone(), title).label(error.to_string()));
                None
            }
        }
    }

    fn no_base(&self, extends: &Placed<String>) -> Mistake {
        let names = || builtin().keys().copied().chain(self.written.keys().map(String::as_str));
        let title = format!("there is no agent {}", quoted(&extends.value));
        match nearest(&extends.value, names()) {
            Some(near) => {
                Mistake::new(extends.span.clone(), title).label(format!("did you mean \"{near}\"?"))
            }
            None => Mistake::new(extends.span.clone(), title).help(format!("there are {}", listed(names()))),
        }
    }
}
