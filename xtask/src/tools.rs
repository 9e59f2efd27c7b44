//! What the commands need beyond a fresh machine, and how it is installed. Versions of cargo's
//! tools stand here alone, so that everybody's checks say the same.

use crate::Outcome;
use crate::process::{cargo, program, run, works};

/// A subcommand of cargo that is installed from source.
pub(crate) struct CargoTool {
    package: &'static str,
    version: &'static str,
    /// Arguments after `cargo` that show that it is there.
    probe: &'static [&'static str],
    /// Arguments of `cargo install` that leave out what is not needed here.
    without: &'static [&'static str],
    /// How long compiling it takes on two cores.
    takes: &'static str,
}

/// Runs tests, each in a process of its own.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    package: "cargo-nextest",
    version: "0.9.143",
    probe: &["nextest", "--version"],
    without: &["--no-default-features", "--features", "default-no-update"],
    takes: "about 2 minutes",
};

/// Checks licences, sources and banned crates.
pub(crate) const DENY: CargoTool = CargoTool {
    package: "cargo-deny",
    version: "0.20.2",
    probe: &["deny", "--version"],
    without: &[],
    takes: "about 2 minutes",
};

/// Finds dependencies that nothing uses.
pub(crate) const MACHETE: CargoTool = CargoTool {
    package: "cargo-machete",
    version: "0.9.2",
    probe: &["machete", "--version"],
    without: &[],
    takes: "about half a minute",
};

/// Counts which lines the tests run; it needs no tools of LLVM, which a plain toolchain does not have.
pub(crate) const TARPAULIN: CargoTool = CargoTool {
    package: "cargo-tarpaulin",
    version: "0.37.5",
    probe: &["tarpaulin", "--version"],
    without: &[],
    takes: "about 5 minutes",
};

impl CargoTool {
    /// Installs it where it is missing. One that is there is taken, whatever its version.
    pub(crate) fn ensure(&self) -> Outcome {
        if works(cargo(self.probe)) {
            return Ok(());
        }
        eprintln!(
            "xtask: installing {} {} from source ({} on two cores)",
            self.package, self.version, self.takes
        );
        // Not optimized: compiling takes a third of the time, and what these tools do themselves takes seconds.
        let mut install = cargo(&["install", "--debug", "--locked", self.package, "--version", self.version]);
        install.args(self.without);
        run(install)
            .map_err(|e| format!("{e}\n  {} is needed; install it by hand and try again", self.package))
    }
}

/// Installs Debian's `package` where `command` cannot be run.
pub(crate) fn ensure_debian(command: &str, package: &str) -> Outcome {
    // Not every program knows `--version` (tmux).
    ensure_debian_where(&format!("command -v {command}"), package)
}

/// Installs Debian's `package` where a line of shell does not find what it has.
pub(crate) fn ensure_debian_where(found: &str, package: &str) -> Outcome {
    if works(program("sh", &["-c", found])) {
        return Ok(());
    }
    eprintln!("xtask: installing Debian's package {package}");
    let apt = |arguments: &[&str]| {
        let mut command = if works(program("sh", &["-c", "test \"$(id -u)\" = 0"])) {
            program("apt-get", arguments)
        } else {
            let mut sudo = program("sudo", &["apt-get"]);
            sudo.args(arguments);
            sudo
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    // A fresh machine's list of packages may be empty or old: only then is it fetched.
    if run(apt(&["install", "-y", "--no-install-recommends", package])).is_err() {
        run(apt(&["update"]))?;
        run(apt(&["install", "-y", "--no-install-recommends", package]))?;
    }
    Ok(())
}
