//! Globs of paths below a directory: `*` and `?` stay within a name, `**` goes down.

use std::ffi::OsStr;
use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobMatcher};

use super::FilesError;

/// Several globs, of which each is asked by itself.
pub(crate) struct Globs {
    pub(super) all: Vec<One>,
}

pub(super) struct One {
    pub(super) text: String,
    matcher: GlobMatcher,
    /// Names before the first that is a pattern.
    fixed: Vec<String>,
    /// How many names a match has; none: any number.
    depth: Option<usize>,
}

impl Globs {
    /// Reads them.
    pub(crate) fn new(texts: &[String]) -> Result<Self, FilesError> {
        texts.iter().map(|text| One::new(text)).collect::<Result<_, _>>().map(|all| Self { all })
    }

    /// Which of them match a path.
    pub(crate) fn matching(&self, path: &Path) -> Vec<usize> {
        let candidate = Candidate::new(path);
        let matches = |one: &One| one.matcher.is_match_candidate(&candidate);
        self.all.iter().enumerate().filter(|(_, one)| matches(one)).map(|(index, _)| index).collect()
    }

    /// Whether something below a directory could match.
    pub(crate) fn reach_below(&self, dir: &Path) -> bool {
        self.all.iter().any(|one| one.reaches_below(dir))
    }
}

impl One {
    fn new(text: &str) -> Result<Self, FilesError> {
        let wrong = |why: String| FilesError::Glob { glob: text.to_owned(), why };
        if !super::stays_below(Path::new(text.strip_suffix('/').unwrap_or(text))) {
            return Err(wrong("it must be relative, and stay below the task's directory".to_owned()));
        }
        let matcher = GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| wrong(error.kind().to_string()))?
            .compile_matcher();
        let names: Vec<&str> = text.split('/').collect();
        let is_pattern = |name: &&str| name.contains(['*', '?', '[', '{', '\\']);
        let fixed = names.iter().take_while(|name| !is_pattern(name)).map(|&name| name.to_owned()).collect();
        // A `/` may stand between braces.
        let any_depth = text.contains("**") || text.contains('{');
        let depth = (!any_depth).then_some(names.len());
        Ok(Self { text: text.to_owned(), matcher, fixed, depth })
    }

    fn reaches_below(&self, dir: &Path) -> bool {
        let mut names = 0;
        for (at, name) in dir.iter().enumerate() {
            names = at + 1;
            if self.fixed.get(at).is_some_and(|fixed| OsStr::new(fixed) != name) {
                return false;
            }
        }
        self.depth.is_none_or(|depth| names < depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Globs {
        Globs::new(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn stars_stay_within_a_name_and_two_go_down() {
        let all = globs(&["*.txt", "out/**", "src/*/x", "{a,b/c}.md"]);
        let matching = |path: &str| all.matching(Path::new(path));
        assert_eq!(matching("a.txt"), [0]);
        assert_eq!(matching("d/a.txt"), Vec::<usize>::new());
        assert_eq!(matching("out/a/b"), [1]);
        assert_eq!(matching("src/q/x"), [2]);
        assert_eq!(matching("src/q/r/x"), Vec::<usize>::new());
        assert_eq!(matching("b/c.md"), [3]);
        assert_eq!(matching(".hidden.txt"), [0]);
    }

    #[test]
    fn only_folders_that_can_hold_a_match_are_entered() {
        let all = globs(&["out/deep/**", "src/*.rs"]);
        for (dir, entered) in [
            ("", true),
            ("out", true),
            ("out/deep/x/y", true),
            ("out/other", false),
            ("src", true),
            ("src/a", false),
        ] {
            assert_eq!(all.reach_below(Path::new(dir)), entered, "{dir}");
        }
        assert!(globs(&["**/x"]).reach_below(Path::new("any/where")));
        assert!(globs(&["{a,b/c}"]).reach_below(Path::new("b")));
    }

    #[test]
    fn a_glob_that_leaves_the_directory_is_refused() {
        for bad in ["/etc/*", "../x", "a/../../x", "", "[a", "a/{b"] {
            assert!(matches!(Globs::new(&[bad.to_owned()]), Err(FilesError::Glob { .. })), "{bad}");
        }
    }
}
