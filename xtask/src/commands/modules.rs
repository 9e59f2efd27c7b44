//! Checks the dependencies that ARCHITECTURE.md allows: those between crates by their manifests, those between modules by the
//! paths in their sources.
//!
//! A crate of the workspace depends only on the crates of its row. Sibling modules, which are in one folder, have no dependency
//! cycle: what two of them share is below both. A module and its children count as one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Outcome;
use crate::workspace::{files_below, root};

/// Crates of the workspace, each with the ones that it may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("cis-core", &[]),
    ("cis-local", &["cis-core"]),
    ("cis-client", &["cis-core", "cis-local"]),
    ("cis-host", &["cis-core", "cis-local"]),
    ("cis-store", &["cis-core", "cis-local"]),
    ("cis-matrix", &[]),
    ("cis-node", &["cis-core", "cis-host", "cis-local", "cis-matrix", "cis-store"]),
    ("cis-cli", &["cis-client", "cis-core", "cis-host", "cis-local", "cis-node", "cis-store"]),
    ("cis-gui", &["cis-client", "cis-core", "cis-local"]),
];

/// A module by its names below the crate's root.
type Module = Vec<String>;

/// For each module of a folder, the siblings that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Checks all crates of the workspace.
pub(crate) fn check() -> Outcome {
    let root = root();
    let mut wrong: Vec<String> = members(&read(&root.join("Cargo.toml"))?)?
        .into_iter()
        .filter(|member| CRATES.iter().all(|(name, _)| name != member))
        .map(|member| format!("{member}: missing in CRATES of xtask/src/commands/modules.rs"))
        .collect();
    for (name, allowed) in CRATES {
        let manifest = read(&root.join(name).join("Cargo.toml"))?;
        wrong.extend(
            dependencies(&manifest)?
                .into_iter()
                .filter(|other| !allowed.contains(&&**other))
                .map(|other| format!("{name}/Cargo.toml: must not depend on {other}")),
        );
        let source = root.join(name).join("src");
        let mut modules = BTreeMap::new();
        for file in files_below(&source, ".rs")? {
            let module = module_of(file.strip_prefix(&source).unwrap_or(&file));
            if !module.iter().any(|part| part == "tests" || part == "fuzz") {
                modules.insert(module, read(&file)?);
            }
        }
        for (folder, imports) in folders(&modules) {
            let place = [&[(*name).to_owned()], &*folder].concat().join("/");
            let found = cycle(&imports);
            if !found.is_empty() {
                wrong.push(format!("{place}: dependency cycle between the modules {}", found.join(", ")));
            }
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("dependencies that ARCHITECTURE.md does not allow:\n  {}", wrong.join("\n  ")))
    }
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn parsed(manifest: &str) -> Outcome<toml::Table> {
    manifest.parse().map_err(|e| format!("cannot parse a manifest: {e}"))
}

/// The members of the workspace, except for this crate of development tools.
fn members(manifest: &str) -> Outcome<Vec<String>> {
    let manifest = parsed(manifest)?;
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(toml::Value::as_array).ok_or("the workspace has no members")?;
    let names = members.iter().filter_map(toml::Value::as_str);
    Ok(names.filter(|name| *name != "xtask").map(str::to_owned).collect())
}

/// The crates of the workspace that a manifest depends on, also on some targets only or to be built, but not those that only
/// its tests need.
fn dependencies(manifest: &str) -> Outcome<Vec<String>> {
    let manifest = parsed(manifest)?;
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let tables = std::iter::once(&manifest)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .flatten()
        .filter_map(toml::Value::as_table);
    // A dependency can have another name than its crate.
    let crate_of = |(name, how): (&String, &toml::Value)| {
        how.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
    };
    Ok(tables.flat_map(toml::Table::iter).map(crate_of).filter(|name| name.starts_with("cis-")).collect())
}

/// The module of a file, given relative to the crate's sources.
fn module_of(file: &Path) -> Module {
    let mut parts: Module = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] || parts == ["main"] {
        parts.pop();
    }
    parts
}

/// The imports between modules, by the folder in which both lie.
fn folders(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Imports> {
    let mut folders: BTreeMap<Module, Imports> = BTreeMap::new();
    for (module, text) in modules {
        for path in paths(text) {
            let Some(other) = target(modules, module, &path) else { continue };
            let shared = module.iter().zip(&other).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(shared), other.get(shared)) {
                let folder = folders.entry(module[..shared].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// The module that holds what a path in `module` names.
fn target(modules: &BTreeMap<Module, String>, module: &[String], path: &[String]) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut at = match &**first {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        _ => module.split_last()?.1.to_vec(),
    };
    while let Some(("super", after)) = rest.split_first().map(|(part, after)| (&**part, after)) {
        at.pop()?;
        rest = after;
    }
    for part in rest {
        at.push(part.clone());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    modules.contains_key(&at).then_some(at)
}

/// Returns the modules of the first dependency cycle, sorted, or nothing if there is none.
fn cycle(imports: &Imports) -> Vec<&str> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|from| (&**from, reachable(imports, from))).collect();
    let Some(first) = reached.iter().find(|(from, to)| to.contains(**from)).map(|(from, _)| *from) else {
        return Vec::new();
    };
    let is_in = |other: &&str| reached.get(*other).is_some_and(|back| back.contains(first));
    reached.get(first).into_iter().flatten().copied().filter(is_in).collect()
}

fn reachable<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = imports.get(from).into_iter().flatten().map(|to| &**to).collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(imports.get(next).into_iter().flatten().map(|to| &**to));
        }
    }
    found
}

/// Every path of a source that begins with `crate`, `self` or `super`; of a `use` with braces one for each name in it. Unit
/// tests at the end of a file are left out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let tokens = tokens(product);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = matches!(*token, "crate" | "self" | "super") && tokens.get(at + 1) == Some(&"::");
        let before = &tokens[..at];
        // `pub(in crate::a)` imports nothing, `for x in crate::a` does.
        let is_part = matches!(before, [.., "::" | "$"] | [.., "(", "in"]);
        if begins && !is_part {
            tree(&tokens, at, &[], &mut found);
        }
    }
    found
}

/// Reads the path at a token, and returns the place behind it.
fn tree(tokens: &[&str], mut at: usize, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(&"}")) {
                    let next = tree(tokens, at, &path, found);
                    at = next.max(at + 1);
                    while !matches!(tokens.get(at), None | Some(&"," | &"}")) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                // `{self, …}` names what stands before the braces.
                if *word != "self" || path.is_empty() {
                    path.push((*word).to_owned());
                }
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// Words and signs of a source, without comments, strings and characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if c.is_alphanumeric() || c == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(&rest[..length]);
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { c.len_utf8() };
            if !c.is_whitespace() {
                found.push(&rest[..length]);
            }
            length
        };
        rest = &rest[length..];
    }
    found
}

/// Length of the string or character that `text` begins with, bytes.
fn literal(text: &str) -> Option<usize> {
    let unprefixed = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = &raw[hashes + 1..];
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    let quote = unprefixed.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inside = &unprefixed[1..];
    // A lifetime has no quote behind its first character.
    if quote == '\'' && !inside.starts_with('\\') && inside.chars().nth(1) != Some('\'') {
        return None;
    }
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(prefix + 1 + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, cycle, dependencies, folders, members, module_of, paths, tokens};

    fn imported(text: &str) -> Vec<String> {
        paths(text).into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_are_read_from_imports_and_from_code() {
        let text =
            "use crate::{a::{self, B}, c};\npub(in crate::d) fn f<'a>(x: &'a super::E) -> self::G<u8> {}";
        let all = ["crate::a", "crate::a::B", "crate::c", "super::E", "self::G"];
        assert_eq!(imported(text), all);
        assert_eq!(
            imported("use super::super::x as y; // crate::no\n\"crate::no\"; 'c'"),
            ["super::super::x"]
        );
        assert_eq!(imported("for x in crate::a::all() {}"), ["crate::a::all"]);
        assert_eq!(imported("#[cfg(test)]\nmod tests { use crate::no; }"), Vec::<String>::new());
        assert_eq!(tokens(r##"r#"a"b"# b"c\"d" '\'' 'e' f::g"##), ["f", "::", "g"]);
    }

    #[test]
    fn dependencies_are_read_from_every_table_but_that_of_tests() {
        let manifest = "[dependencies]\ncis-a.workspace = true\nserde = \"1\"\nx = { package = \"cis-b\", path = \"b\" }\n\
                        [build-dependencies]\ncis-c.workspace = true\n[dev-dependencies]\ncis-d.workspace = true\n\
                        [target.'cfg(unix)'.dependencies]\ncis-e.workspace = true\n\
                        [target.'cfg(unix)'.build-dependencies]\ncis-f.workspace = true\n";
        assert_eq!(dependencies(manifest).unwrap(), ["cis-a", "cis-b", "cis-c", "cis-e", "cis-f"]);
        assert_eq!(members("[workspace]\nmembers = [\"cis-a\", \"xtask\"]").unwrap(), ["cis-a"]);
    }

    #[test]
    fn a_dependency_cycle_is_found_in_the_folder_of_its_modules() {
        let of = |files: &[(&str, &str)]| {
            let module = |(name, text): &(&str, &str)| (module_of(name.as_ref()), (*text).to_owned());
            let modules: BTreeMap<_, _> = files.iter().map(module).collect();
            let found = folders(&modules);
            found
                .into_iter()
                .map(|(folder, imports)| (folder.join("/"), cycle(&imports).join(" ")))
                .collect::<Vec<_>>()
        };
        let lib = ("lib.rs", "mod a;");
        let straight = [
            lib,
            ("a.rs", "use crate::b::c::X;"),
            ("b/mod.rs", "use self::c::X;"),
            ("b/c.rs", "use super::Y;"),
        ];
        assert_eq!(of(&straight), [(String::new(), String::new())]);
        let round =
            [lib, ("a.rs", "use crate::b::c::X;"), ("b/mod.rs", ""), ("b/c.rs", "fn f() { crate::a::g(); }")];
        assert_eq!(of(&round), [(String::new(), "a b".to_owned())]);
        let inside =
            [("lib.rs", ""), ("b/mod.rs", ""), ("b/c.rs", "use super::d::X;"), ("b/d.rs", "use super::c;")];
        assert_eq!(of(&inside), [("b".to_owned(), "c d".to_owned())]);
    }
}
