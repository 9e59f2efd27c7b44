//! Globs of files below a task's directory: what is a right one. Knows nothing of directories, and
//! matches nothing.

use globset::GlobBuilder;

/// The longest glob, bytes.
const MAX_BYTES: usize = 1024;
/// The most globs of one key.
pub(super) const MAX_GLOBS: usize = 1000;

/// What is wrong with a glob, and what to write.
pub(super) fn check(glob: &str) -> Result<(), (String, String)> {
    let no = |why: &str, help: &str| Err((why.to_owned(), help.to_owned()));
    if glob.is_empty() {
        return no("it is empty", "write \"**\" for all files");
    }
    if glob.len() > MAX_BYTES {
        return no("it is longer than 1024 bytes", "use several, or wider ones");
    }
    if glob.chars().any(char::is_control) {
        return no("it holds a control character", "use `?` for it");
    }
    if glob.contains("{{") {
        return no("this glob cannot hold templates", "use `*`, or a `cwd` with the value in it");
    }
    if glob.starts_with('/') {
        return no("it is an absolute path", "write it relative to the task's directory");
    }
    if glob.starts_with('~') {
        return no("no shell reads it", "write it relative to the task's directory");
    }
    // Also inside of `{…,…}`, and escaped.
    let mut parts = glob.split(['/', ',', '{', '}']).map(|part| part.replace('\\', ""));
    if parts.any(|part| part == "..") {
        return no("it leaves the task's directory", "leave out `..`, or set `cwd`");
    }
    if let Some(folder) = glob.strip_suffix('/') {
        return Err((
            "it names a directory".to_owned(),
            format!("write \"{folder}/**\" for the files in it"),
        ));
    }
    if glob.split('/').any(|part| part.is_empty() || part == ".") {
        return no("no path has an empty part or `.`", "leave out `./` and the second of two `/`");
    }
    match GlobBuilder::new(glob).literal_separator(true).build() {
        Ok(_) => Ok(()),
        Err(error) => Err((error.kind().to_string(), "see the guide for what globs can hold".to_owned())),
    }
}

/// A glob that matches `text` and nothing else.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | ',' | '!' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_text_matches_only_itself() {
        for text in ["eu", "a*b", "[x]", "{a,b}", "a?c", "back\\slash", "!no", "ü,"] {
            let glob = escaped(text);
            let matcher = GlobBuilder::new(&glob).literal_separator(true).build().unwrap().compile_matcher();
            assert!(matcher.is_match(text), "{text}");
            for other in ["eux", "axb", "x", "a", "abc", "backslash", "no"] {
                assert!(!matcher.is_match(other), "{text} as {glob} matches {other}");
            }
        }
    }

    #[test]
    fn what_stays_below_is_right() {
        for glob in ["out/**", "*.rs", "src/**/*.{rs,toml}", "**", "a?[0-9]", "..a/b..", ".hidden/x", "a b"] {
            assert_eq!(check(glob), Ok(()), "{glob}");
        }
    }

    #[test]
    fn what_leaves_the_directory_or_is_no_glob_is_refused() {
        let long = "a".repeat(1025);
        let wrong = [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "{..,a}/x",
            "\\.\\./x",
            "a/{b,..}",
            "~/x",
            "dir/",
            "./x",
            "a//b",
            "a[",
            "{a",
            "a\\",
            "x\n",
            "{{ item }}/*",
            long.as_str(),
        ];
        let said: Vec<String> = wrong
            .iter()
            .map(|glob| {
                let (why, help) = check(glob).unwrap_err();
                format!("{why}: {help}")
            })
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        it is empty: write "**" for all files
        it is an absolute path: write it relative to the task's directory
        it leaves the task's directory: leave out `..`, or set `cwd`
        it leaves the task's directory: leave out `..`, or set `cwd`
        it leaves the task's directory: leave out `..`, or set `cwd`
        it leaves the task's directory: leave out `..`, or set `cwd`
        it leaves the task's directory: leave out `..`, or set `cwd`
        no shell reads it: write it relative to the task's directory
        it names a directory: write "dir/**" for the files in it
        no path has an empty part or `.`: leave out `./` and the second of two `/`
        no path has an empty part or `.`: leave out `./` and the second of two `/`
        unclosed character class; missing ']': see the guide for what globs can hold
        unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?): see the guide for what globs can hold
        dangling '\': see the guide for what globs can hold
        it holds a control character: use `?` for it
        this glob cannot hold templates: use `*`, or a `cwd` with the value in it
        it is longer than 1024 bytes: use several, or wider ones
        "#);
    }
}
