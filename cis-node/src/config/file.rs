//! `config.toml`: whether it can be trusted, what it says, and where.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::kind::{Kind, Value};
use super::settings::{SETTINGS, Setting, find};
use cis_core::agent::{self, Agents, Resolver};
use cis_core::dag::Group;
use cis_core::dag::diagnose::{Diagnostics, Mistake, listed, nearest, quoted};
use cis_core::dag::spec::read::{Node, Placed, Reader};
use cis_core::dag::spec::{good_name, groups};
use cis_core::dag::spec::{not_utf8, toml_tree};

/// A longer file is a mistake, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Tables with an entry for each name that the file gives; they may have none.
pub const NAMED_TABLES: [&str; 2] = ["groups", "agents"];

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error("{} is not read: {why}; {remedy}", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// It holds mistakes.
    #[error("{}", .0.summary(&.1.display().to_string()))]
    Mistakes(Box<Diagnostics>, PathBuf),
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layer {
    /// By key: the value, and its line.
    pub(super) values: BTreeMap<&'static str, (Value, u32)>,
    /// By name: the group, and its line.
    pub(super) groups: BTreeMap<String, (Group, u32)>,
    /// The profiles of agents, with those that are built in.
    pub(super) agents: Agents,
    /// What the file says of them: key, value as written, line.
    pub(super) agent_keys: Vec<(String, String, u32)>,
}

/// Reads a file. One that is not there says nothing.
pub(super) fn read(path: &Path) -> Result<Layer, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    // A pipe without a writer would be waited for.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(no_wait).open(path) {
        Ok(file) => file,
        // A link to what is not there, on a disk that is not mounted for instance, is a configuration that cannot be read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => {
                return Err(io(io::Error::new(
                    error.kind(),
                    "it is a symbolic link to a file that is not there",
                )));
            }
            Err(_) => return Ok(Layer::default()),
        },
        Err(error) => return Err(io(error)),
    };
    check_trust(path, &file)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = "it is longer than 1 MiB".to_owned();
        let remedy = "`cis config default` shows what a configuration looks like".to_owned();
        return Err(FileError::Unsafe { path: path.to_owned(), why, remedy });
    }
    parse(&bytes, &path.display().to_string())
        .map_err(|mistakes| FileError::Mistakes(Box::new(mistakes), path.to_owned()))
}

/// Whoever can write the file, or put another in its place, decides what this user's node does.
fn check_trust(path: &Path, file: &File) -> Result<(), FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    let refuse = |why: String, remedy: String| Err(FileError::Unsafe { path: path.to_owned(), why, remedy });
    let me = rustix::process::geteuid().as_raw();
    let own = |uid: u32| uid == me || uid == 0;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return refuse("it is not a regular file".to_owned(), "move it away".to_owned());
    }
    if !own(meta.uid()) {
        return refuse(
            format!("it belongs to uid {}, not to you", meta.uid()),
            "use a file of your own".to_owned(),
        );
    }
    let dir = path.parent().unwrap_or(path);
    let dir_meta = fs::metadata(dir).map_err(io)?;
    if !own(dir_meta.uid()) || dir_meta.mode() & 0o022 != 0 {
        let why = format!("others can replace it in {}", dir.display());
        return refuse(why, format!("chmod go-w {}", dir.display()));
    }
    // Below a directory that nobody else can enter its own mode does not matter: umask 002 is usual.
    let hidden = dir_meta.mode() & 0o077 == 0 && !path.is_symlink();
    if meta.mode() & 0o022 != 0 && !hidden {
        let why = format!("others can write it (mode {:o})", meta.mode() & 0o777);
        return refuse(why, format!("chmod go-w {}", path.display()));
    }
    Ok(())
}

/// Reads the text of a file; `source` is its name, for messages.
pub(super) fn parse(bytes: &[u8], source: &str) -> Result<Layer, Diagnostics> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(bytes, error.valid_up_to(), source)),
    };
    let tree = toml_tree(text).map_err(|mistakes| mistakes.finish(text, source))?;
    let mut parser = Parser { reader: Reader::default(), text, layer: Layer::default() };
    parser.top(&tree);
    let (mistakes, layer) = (parser.reader.mistakes, parser.layer);
    if mistakes.is_empty() { Ok(layer) } else { Err(mistakes.finish(text, source)) }
}

struct Parser<'t> {
    reader: Reader,
    text: &'t str,
    layer: Layer,
}

impl Parser<'_> {
    fn top(&mut self, tree: &DeTable<'_>) {
        let mut tables: Vec<&str> =
            SETTINGS.iter().filter_map(|setting| setting.key.split('.').next()).collect();
        tables.dedup();
        tables.extend(NAMED_TABLES);
        self.known_keys(tree, "the configuration", &tables);
        for (key, node) in tree {
            let name: &str = key.get_ref();
            match name {
                "groups" => self.groups(node),
                "agents" => self.agents(node),
                table if tables.contains(&table) => self.table(table, node),
                _ => {}
            }
        }
    }

    fn table(&mut self, name: &str, node: &Node<'_>) {
        let Some(table) = self.reader.table(name, node, &format!("[{name}]")) else { return };
        let tables = tables_in(name);
        let mut keys = names_of(name);
        keys.extend(&tables);
        self.known_keys(table, &format!("[{name}]"), &keys);
        for (key, node) in table {
            if tables.contains(&&**key.get_ref()) {
                self.table(&format!("{name}.{}", key.get_ref()), node);
                continue;
            }
            let Some(setting) = find(&format!("{name}.{}", key.get_ref())) else { continue };
            if let Some(value) = self.value(setting, node) {
                let line = self.line(&key.span());
                self.layer.values.insert(setting.key, (value, line));
            }
        }
    }

    fn value(&mut self, setting: &Setting, node: &Node<'_>) -> Option<Value> {
        let name = setting.name();
        match setting.kind {
            Kind::Count { least } => {
                let count = self.reader.count(name, node, least)?;
                return Some(Value::Number(Some(count.into())));
            }
            Kind::Flag => return self.reader.boolean(name, node).map(Value::Flag),
            Kind::Time => return self.reader.duration(name, node, false).map(|ms| Value::Number(Some(ms))),
            _ => {}
        }
        if let (Kind::List(item), DeValue::Array(words)) = (setting.kind, node.get_ref()) {
            let wrong = |word: &Node<'_>| Some((word.span(), item.check(word.get_ref().as_str()?).err()?));
            if let Some((span, why)) = words.iter().find_map(wrong) {
                self.reader.wrong(Mistake::new(span, format!("`{name}` {why}")));
                return None;
            }
        }
        let example = format!("{name} = {}", setting.kind.toml(&setting.kind.read(setting.default).ok()?));
        let written = match node.get_ref() {
            // A size is a number with or without its unit.
            DeValue::Integer(number) if matches!(setting.kind, Kind::Size { .. } | Kind::SizeOrUnlimited) => {
                number.to_string()
            }
            DeValue::Array(words) if matches!(setting.kind, Kind::Command | Kind::List(_)) => {
                let words: Option<Vec<&str>> = words.iter().map(|word| word.get_ref().as_str()).collect();
                // What is no array of texts is refused as any other value is.
                words.and_then(|words| serde_json::to_string(&words).ok()).unwrap_or_default()
            }
            _ => self.reader.string(name, node, &example)?.to_owned(),
        };
        match setting.kind.read(&written) {
            Ok(value) => Some(value),
            Err(why) => {
                let title = format!("`{name}` {why}");
                self.reader.wrong(
                    Mistake::new(node.span(), title)
                        .label(quoted(&written))
                        .help(format!("write {example}, or {}", setting.kind.form())),
                );
                None
            }
        }
    }

    fn groups(&mut self, node: &Node<'_>) {
        let groups = groups(&mut self.reader, "[groups.NAME] with limit = 1", node);
        for (key, _) in node.get_ref().as_table().into_iter().flatten() {
            let name: &str = key.get_ref();
            if let Some(group) = groups.get(name) {
                self.layer.groups.insert(name.to_owned(), (*group, self.line(&key.span())));
            }
        }
    }

    fn agents(&mut self, node: &Node<'_>) {
        let example = "[agents.NAME] with command = [\"program\"] or extends = \"gemini\"";
        let Some(table) = self.reader.table("agents", node, example) else { return };
        let mut resolver = Resolver::default();
        for (key, node) in table {
            let name: &str = key.get_ref();
            good_name(&mut self.reader, name, key.span(), "an agent");
            let Some(keys) = self.reader.table(&format!("agents.{name}"), node, example) else { continue };
            let (extends, layer) = agent::read(&mut self.reader, name, keys);
            resolver.add(Placed { value: name.to_owned(), span: key.span() }, extends, layer);
            self.agent_keys(&format!("agents.{name}"), keys);
        }
        self.layer.agents = resolver.finish(&mut self.reader);
    }

    /// Every value below a table as it stands there, on one line.
    fn agent_keys(&mut self, place: &str, table: &DeTable<'_>) {
        for (key, node) in table {
            let place = format!("{place}.{}", key.get_ref());
            if let Some(table) = node.get_ref().as_table() {
                self.agent_keys(&place, table);
                continue;
            }
            let written = self.text.get(node.span()).unwrap_or_default();
            let value = written.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = self.line(&key.span());
            self.layer.agent_keys.push((place, value, line));
        }
    }

    /// Refuses keys that a table does not have. A key may have been meant for another table.
    fn known_keys(&mut self, table: &DeTable<'_>, place: &str, keys: &[&str]) {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if keys.contains(&name) {
                continue;
            }
            let mut mistake = Mistake::new(key.span(), format!("unknown key {} in {place}", quoted(name)));
            if let Some(near) = nearest(name, keys.iter().copied()) {
                mistake = mistake.label(format!("did you mean `{near}`?"));
            } else if let Some(other) = SETTINGS.iter().find(|setting| setting.name() == name) {
                mistake = mistake.label(format!("it belongs in [{}]", other.table()));
            } else {
                mistake = mistake.help(format!("{place} has {}", listed(keys.iter().copied())));
            }
            self.reader.wrong(mistake);
        }
    }

    fn line(&self, span: &Range<usize>) -> u32 {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        u32::try_from(memchr::memchr_iter(b'\n', before).count() + 1).unwrap_or(u32::MAX)
    }
}

fn names_of(table: &str) -> Vec<&'static str> {
    SETTINGS.iter().filter(|setting| setting.table() == table).map(Setting::name).collect()
}

/// The tables right inside a table.
fn tables_in(table: &str) -> Vec<&'static str> {
    let inside = |setting: &'static Setting| setting.table().strip_prefix(table)?.strip_prefix('.');
    let mut tables: Vec<&str> = SETTINGS.iter().filter_map(inside).collect();
    tables.dedup();
    tables
}

/// The key that was probably meant.
pub(super) fn nearest_key(text: &str) -> Option<&'static str> {
    nearest(text, SETTINGS.iter().map(|setting| setting.key))
        .or_else(|| SETTINGS.iter().find(|setting| setting.name() == text).map(|setting| setting.key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mistakes(text: &str) -> String {
        parse(text.as_bytes(), "config.toml").unwrap_err().to_string()
    }

    #[test]
    fn values_come_with_their_lines() {
        let text = "# mine\n[node]\nmax_sessions = 7\nlog_limit = 1000000\n\n[groups.claude-account]\nlimit = 2\nfrees_when_blocked = true\n[timeouts]\nexec_max = \"1h\"\n[retention]\nmax_age = \"unlimited\"\nmax_bytes = '2GB'\n";
        let layer = parse(text.as_bytes(), "config.toml").unwrap();
        let expected: [(&str, Option<u64>, u32); 5] = [
            ("node.max_sessions", Some(7), 3),
            ("node.log_limit", Some(1_000_000), 4),
            ("timeouts.exec_max", Some(3_600_000), 10),
            ("retention.max_age", None, 12),
            ("retention.max_bytes", Some(2_000_000_000), 13),
        ];
        for (key, value, line) in expected {
            assert_eq!(layer.values[key], (Value::Number(value), line), "{key}");
        }
        assert_eq!(layer.values.len(), expected.len());
        let group = Group { limit: 2, frees_when_blocked: true };
        assert_eq!(layer.groups, BTreeMap::from([("claude-account".to_owned(), (group, 6))]));
    }

    #[test]
    fn tables_stand_in_tables() {
        let text = "[dag]\ndefault_mode = \"hybrid\"\n[dag.matrix]\nenabled = false\nbroadcast_interval_ms = 250\n[matrix]\nrun_dirs = [\"/srv/dags\"]\n[matrix.roles]\nviewer = [\"*\"]\n";
        let layer = parse(text.as_bytes(), "config.toml").unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            ("dag.default_mode", text("hybrid"), 2),
            ("dag.matrix.enabled", Value::Flag(false), 4),
            ("dag.matrix.broadcast_interval_ms", Value::Number(Some(250)), 5),
            ("matrix.run_dirs", text(r#"["/srv/dags"]"#), 7),
            ("matrix.roles.viewer", text(r#"["*"]"#), 9),
        ];
        assert_eq!(layer.values.len(), expected.len());
        for (key, value, line) in expected {
            assert_eq!(layer.values[key], (value, line), "{key}");
        }
    }

    #[test]
    fn mistakes_in_tables_of_tables_name_what_is_wrong() {
        let text = "[dag]\ndefault_mode = \"matrix\"\nroom_id = \"builds\"\nmatrixx = 1\n[dag.matrix]\nenabled = \"yes\"\ninvite = \"@ann:example.org\"\n[matrix]\nrun_dirs = [\"dags\"]\ncommand_age = 5\n[matrix.roles]\noperator = [\"@ann:example.org\", \"pl>50\"]\nadmins = []\n";
        let all = parse(text.as_bytes(), "config.toml").unwrap_err();
        let told = |finding: &cis_core::api::Finding| {
            format!("{}:{} {}\n", finding.line, finding.column, finding.message)
        };
        insta::assert_snapshot!(all.findings.iter().map(told).collect::<String>(), @r#"
        2:16 `default_mode` must be `local` or `hybrid`: `matrix`
        3:11 `room_id` must be a room such as `!id:example.org` or `#builds:example.org`, or a link of matrix.to to it: `builds`
        4:1 unknown key `matrixx` in [dag]: did you mean `matrix`?
        6:11 `enabled` must be true or false: this is a string
        7:10 `invite` must be an array of users such as `["@ann:example.org"]`: `@ann:example.org`
        9:13 `run_dirs` holds `dags`, which is no absolute directory
        10:15 `command_age` must be a time with its unit, as a string: this is an integer
        12:33 `operator` holds a mistake: `pl>50` names nobody: use "@ann:example.org", "*:example.org", "pl>=50", or "*" for everybody in the room
        13:1 unknown key `admins` in [matrix.roles]: did you mean `admin`?
        "#);
    }

    #[test]
    fn all_mistakes_are_told_with_their_places_and_what_was_meant() {
        let text = "max_sessions = 3\n[nodes]\n[node]\nmax_session = 7\nlog_limit = \"huge\"\nidle_exit = 5\n[timeouts]\nexec_max = \"0s\"\n[groups._bad]\nlimit = 1\n[groups.a]\nlimt = 1\n[groups.b]\nlimit = 0\n[attach]\ndetach_keys = \"Up\"\n[agents.gemini]\nprompts = \"typed\"\n[agents.mine]\nidle = \"ask\"\n";
        let all = parse(text.as_bytes(), "config.toml").unwrap_err();
        insta::assert_snapshot!(
            all.findings
                .iter()
                .map(|finding| format!("{}:{}:{} {}\n", finding.file, finding.line, finding.column, finding.message))
                .collect::<String>(),
            @r"
            config.toml:1:1 unknown key `max_sessions` in the configuration: it belongs in [node]
            config.toml:2:2 unknown key `nodes` in the configuration: did you mean `node`?
            config.toml:4:1 unknown key `max_session` in [node]: did you mean `max_sessions`?
            config.toml:5:13 `log_limit` must be a size such as `64MiB` or `1GB`: `huge`
            config.toml:6:13 `idle_exit` must be a time with its unit, as a string: this is an integer
            config.toml:8:12 `exec_max` is not a time: must be longer than nothing
            config.toml:9:9 `_bad` cannot be the id of a group
            config.toml:11:9 `groups.a` has no limit
            config.toml:12:1 unknown key `limt` in a group: did you mean `limit`?
            config.toml:14:9 `limit` must be from 1 to 4294967295
            config.toml:16:15 `detach_keys` must be characters and C-x with spaces between them, such as `C-\ d` or `C-b d`: `Up`
            config.toml:18:1 unknown key `prompts` in agent `gemini`: did you mean `prompt`?
            config.toml:19:9 agent `mine` has no command
            "
        );
    }

    #[test]
    fn profiles_of_agents_are_read_over_those_that_are_built_in() {
        let text =
            "[agents.gemini]\ncommand = [\"/opt/gemini\",\n  \"--x\"]\n[agents.mine]\nextends = \"gemini\"\n";
        let layer = parse(text.as_bytes(), "config.toml").unwrap();
        assert_eq!(layer.agents.get("mine").unwrap().command, ["/opt/gemini", "--x"]);
        assert!(layer.agents.get("codex").is_some());
        let told: Vec<String> =
            layer.agent_keys.iter().map(|(key, value, line)| format!("{key} = {value} in {line}")).collect();
        let command = r#"agents.gemini.command = ["/opt/gemini", "--x"] in 2"#;
        assert_eq!(told, [command, r#"agents.mine.extends = "gemini" in 5"#]);
    }

    #[test]
    fn broken_files_are_told_like_any_mistake() {
        assert!(mistakes("[node\n").contains("config.toml:1:"), "{}", mistakes("[node\n"));
        let bytes = [&b"[node]\n# "[..], &[0xff]].concat();
        assert!(parse(&bytes, "config.toml").unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(parse(b"", "config.toml").unwrap(), Layer::default());
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&path).unwrap(), Layer::default());
        fs::write(&path, "[node]\nmax_sessions = 7\n").unwrap();
        mode(&path, 0o644);
        assert_eq!(read(&path).unwrap().values.len(), 1);
        for writable in [0o664, 0o646] {
            mode(&path, writable);
            mode(dir.path(), 0o755);
            assert!(matches!(read(&path), Err(FileError::Unsafe { .. })), "{writable:o}");
            mode(dir.path(), 0o700);
            assert!(read(&path).is_ok(), "nobody else can come to it");
        }
        mode(&path, 0o600);
        mode(dir.path(), 0o777);
        assert!(matches!(read(&path), Err(FileError::Unsafe { .. })));
        mode(dir.path(), 0o700);
        assert_eq!(read(&path).unwrap().values.len(), 1);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(&path), Err(FileError::Unsafe { .. } | FileError::Io { .. })));
    }
}
