//! A Debian root with what the README asks for, except Rust, and with a clone of the checkout.

use std::path::{Path, PathBuf};

use super::environment;
use crate::Outcome;
use crate::process::{program, run, run_with, stdout_of};
use crate::tools::ensure_debian;
use crate::workspace::root as checkout;

/// "A C compiler and make", git for the clone, and certificates, without which nothing can be downloaded.
const PACKAGES: &str = "ca-certificates,gcc,git,libc6-dev,make";

/// A root that is ready for commands.
#[derive(Debug)]
pub(super) struct Fresh {
    path: PathBuf,
}

/// Sources of this machine's Debian packages.
#[derive(Debug, PartialEq, Eq)]
struct Sources {
    mirror: String,
    suite: String,
    /// Mirrors and suites of updates.
    more: Vec<(String, String)>,
}

impl Fresh {
    /// Makes the root at `path`, an empty directory.
    pub(super) fn make(path: &Path) -> Outcome<Self> {
        ensure_debian("debootstrap", "debootstrap")?;
        let sources = Sources::of_this_machine()?;
        let include = format!("--include={PACKAGES}");
        let path_text = path.display().to_string();
        let words = ["--variant=minbase", &include, &sources.suite, &path_text, &sources.mirror];
        eprintln!("xtask: making a root of Debian {} in {path_text} (2 minutes, 500 MB)", sources.suite);
        let mut command = program("debootstrap", &words);
        // debootstrap prints a line for every package.
        command.stdout(std::process::Stdio::null());
        run(command)?;
        let made = Self { path: path.to_path_buf() };
        made.write("etc/apt/sources.list", &sources.list())?;
        // This file keeps packages from starting their services.
        made.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")?;
        run(program("chmod", &["755", &made.inside("usr/sbin/policy-rc.d")]))?;
        made.copy_settings()?;
        made.clone_checkout()?;
        Ok(made)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn inside(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    /// Copies files of this machine into the root. The last step runs inside the root, because outside a link in the root could
    /// lead out of it.
    fn copy_settings(&self) -> Outcome {
        const PLACE: &str = r#"mkdir -p "$(dirname "$2")" && cp -a --remove-destination --no-target-directory "$1" "$2" && rm -r "$1""#;
        for (from, to) in environment::files() {
            let staged = self.path.join("staged");
            let mut copy = program("cp", &["-a", "--dereference", "--no-target-directory"]);
            copy.arg(&from).arg(&staged);
            run_with(copy, "")?;
            let mut place = program("chroot", &[]);
            place.arg(&self.path).args(["/bin/sh", "-c", PLACE, "place", "/staged"]).arg(to);
            place.env("PATH", environment::PATH);
            run_with(place, "")?;
        }
        Ok(())
    }

    fn clone_checkout(&self) -> Outcome {
        if !stdout_of(program("git", &["status", "--porcelain"]))?.is_empty() {
            eprintln!("xtask: changes that are not committed are left out");
        }
        let from = checkout().display().to_string();
        run(program("git", &["clone", "--quiet", "--no-hardlinks", &from, &self.inside("src/cis")]))
    }
}

impl Sources {
    fn of_this_machine() -> Outcome<Self> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite =
            codename.ok_or("/etc/os-release names no release: fresh needs Debian or one of its kind")?;
        let format = "$(SITE) $(CODENAME) $(COMPONENT)";
        let targets =
            stdout_of(program("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]))?;
        Self::of(&targets, suite.trim_matches('"'))
    }

    /// Parses lines with a site, a suite and a component.
    fn of(targets: &str, suite: &str) -> Outcome<Self> {
        let mut found = Vec::new();
        for line in targets.lines() {
            if let [site, name, "main"] = line.split(' ').collect::<Vec<_>>()[..]
                && (name == suite || name.strip_prefix(suite).is_some_and(|rest| rest.starts_with('-')))
            {
                found.push((site.to_owned(), name.to_owned()));
            }
        }
        let own = found.iter().position(|(_, name)| name == suite);
        let own = own.ok_or_else(|| format!("apt's configuration names no mirror of {suite}"))?;
        let (mirror, suite) = found.remove(own);
        Ok(Self { mirror, suite, more: found })
    }

    /// The text of sources.list.
    fn list(&self) -> String {
        let line = |site: &str, suite: &str| format!("deb {site} {suite} main\n");
        let more = self.more.iter().map(|(site, suite)| line(site, suite));
        std::iter::once(line(&self.mirror, &self.suite)).chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn the_mirror_of_the_release_is_chosen() {
        let targets = "https://other.example stable main\n\
            http://updates.example/debian trixie-security main\n\
            http://mirror.example/debian trixie contrib\n\
            http://mirror.example/debian trixie main\n\
            http://other.example trixiex main\n";
        let sources = Sources::of(targets, "trixie").unwrap();
        assert_eq!(
            sources.list(),
            "deb http://mirror.example/debian trixie main\ndeb http://updates.example/debian trixie-security main\n"
        );
        assert!(Sources::of(targets, "bookworm").unwrap_err().contains("bookworm"));
    }
}
