//! Programs that the tests start besides CIS. Agents, a homeserver and its clients are installed once, below the target
//! directory, in versions that only this file names; the rest are Debian packages.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::process::{program, run, works};
use crate::tools::{ensure_debian, ensure_debian_where};
use crate::workspace::target_dir;

/// What one of them is installed from.
struct Agent {
    name: &'static str,
    /// Names of packages with their versions.
    packages: &'static [&'static str],
    from: From,
    /// Below its folder.
    binary: &'static str,
    takes: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Python,
    Npm,
}

/// In the folder of each, with what it was installed from.
const NOTE: &str = "installed";

const AGENTS: &[Agent] = &[
    Agent {
        name: "llm",
        packages: &["llm==0.36"],
        from: From::Python,
        binary: "bin/llm",
        takes: "82 MB, 10 s",
    },
    // The homeserver of the tests is no agent, but is installed as they are.
    Agent {
        name: "synapse",
        packages: &["matrix-synapse==1.163.2"],
        from: From::Python,
        binary: "bin/python",
        takes: "242 MB, 20 s",
    },
    // Nor are those that read rooms beside the node's own code: other clients, other implementations of Ed25519.
    Agent {
        name: "nio",
        packages: &["matrix-nio==0.26.0", "pynacl==1.6.2"],
        from: From::Python,
        binary: "bin/python",
        takes: "70 MB, 20 s",
    },
    Agent {
        name: "js-sdk",
        packages: &["node@22.23.3", "matrix-js-sdk@43.0.0"],
        from: From::Npm,
        binary: "node_modules/.bin/node",
        takes: "212 MB, 12 s",
    },
    // Nor is the one that asks the API everything that its description allows, and more.
    Agent {
        name: "schemathesis",
        packages: &["schemathesis==4.32.5"],
        from: From::Python,
        binary: "bin/schemathesis",
        takes: "94 MB, 20 s",
    },
    // Nor is the one that uses a page as a person does.
    Agent {
        name: "browser",
        packages: &["node@22.23.3", "playwright-core@1.65.1"],
        from: From::Npm,
        binary: "node_modules/.bin/node",
        takes: "130 MB, 10 s",
    },
    Agent {
        name: "gemini",
        // Debian's node is too old for it.
        packages: &["node@22.23.3", "@google/gemini-cli@0.61.0"],
        from: From::Npm,
        binary: "node_modules/.bin/gemini",
        takes: "250 MB, 20 s",
    },
];

/// A Debian package that tests need.
struct Package {
    name: &'static str,
    /// A shell line that succeeds if the package is installed.
    found: &'static str,
    tests: &'static str,
}

const fn package(name: &'static str, found: &'static str, tests: &'static str) -> Package {
    Package { name, found, tests }
}

const DASHBOARD: &str = "test(/^dashboard::/)";
const PROGRAMS: &str = "test(/^blocked::/)";
const PINENTRY: &str = "test(/pinentry/)";
const PAGE: &str = "test(/^page::/)";

const PACKAGES: &[Package] = &[
    // For the dashboard: a virtual display, keyboard and mouse, the accessibility bus, and libraries that every
    // desktop has.
    package("xvfb", "command -v Xvfb", DASHBOARD),
    package("xdotool", "command -v xdotool", DASHBOARD),
    package("dbus", "command -v dbus-daemon && test -e /usr/share/dbus-1/session.conf", DASHBOARD),
    package(
        "at-spi2-core",
        "test -x /usr/libexec/at-spi-bus-launcher || test -x /usr/lib/at-spi-bus-launcher",
        DASHBOARD,
    ),
    package("libgl1-mesa-dri", "ls /usr/lib/*/dri/swrast_dri.so", DASHBOARD),
    package("libxkbcommon-x11-0", "PATH=$PATH:/sbin ldconfig -p | grep -q libxkbcommon-x11.so.0", DASHBOARD),
    package("libxcursor1", "PATH=$PATH:/sbin ldconfig -p | grep -q libXcursor.so.1", DASHBOARD),
    // The example page of the guide.
    package("chromium-headless-shell", "command -v chromium-headless-shell", PAGE),
    // Programs that wait for their terminal.
    package("less", "command -v less", PROGRAMS),
    package("whiptail", "command -v whiptail", PROGRAMS),
    package("gpg-agent", "command -v gpg-agent && command -v gpgconf", PINENTRY),
    package("gpg", "command -v gpg", PINENTRY),
    package("pinentry-curses", "test -x /usr/bin/pinentry-curses", PINENTRY),
];

/// Installs what is missing.
pub(crate) fn ensure() -> Outcome {
    ensure_packages()?;
    ensure_programs()
}

/// The Debian packages, and those that install the rest. It may ask for a password.
pub(crate) fn ensure_packages() -> Outcome {
    for Package { name, found, tests } in PACKAGES {
        ensure_debian_where(&format!("{{ {found}; }} >/dev/null 2>&1"), name).map_err(|e| {
            format!("{e}\n  tests need {name}; to leave them out: `cargo nextest run -E 'not {tests}'`")
        })?;
    }
    let place = place()?;
    let is_missing = |from: From| {
        AGENTS.iter().any(|agent| agent.from == from && !agent.is_there(&place.join(agent.name)))
    };
    if is_missing(From::Python) {
        ensure_debian("python3", "python3")?;
        if !works(program("python3", &["-c", "import ensurepip"])) {
            // No command of its own tells that the package is there.
            ensure_debian("python3-venv", "python3-venv")?;
        }
    }
    if is_missing(From::Npm) { ensure_debian("npm", "npm") } else { Ok(()) }
}

/// Agents, homeserver and clients. It waits for the network most of the time.
pub(crate) fn ensure_programs() -> Outcome {
    let place = place()?;
    for agent in AGENTS {
        agent
            .ensure(&place.join(agent.name))
            .map_err(|e| format!("{e}\n  {} is needed by the tests; without a network take `cargo nextest run -E 'not (test(/^(agents|described|heard|hybrid|matrix|page|recover|rooms|witness)::/) or package(cis-matrix))'`", agent.name))?;
    }
    Ok(())
}

/// Where each of them has its folder.
fn place() -> Outcome<PathBuf> {
    Ok(target_dir()?.join("agents"))
}

impl Agent {
    /// What the note in its folder says.
    fn said(&self) -> String {
        self.packages.join(" ")
    }

    fn is_there(&self, folder: &Path) -> bool {
        let is_noted = std::fs::read_to_string(folder.join(NOTE)).is_ok_and(|there| there == self.said());
        is_noted && folder.join(self.binary).exists()
    }

    fn ensure(&self, folder: &Path) -> Outcome {
        if self.is_there(folder) {
            return Ok(());
        }
        let said = self.said();
        eprintln!("xtask: installing {said} into {} ({})", folder.display(), self.takes);
        let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(failed)?;
        }
        std::fs::create_dir_all(folder).map_err(failed)?;
        match self.from {
            From::Python => self.install_python(folder)?,
            From::Npm => self.install_npm(folder)?,
        }
        std::fs::write(folder.join(NOTE), said).map_err(failed)
    }

    fn install_python(&self, folder: &Path) -> Outcome {
        let folder = folder.display().to_string();
        run(program("python3", &["-m", "venv", &folder]))?;
        let pip = format!("{folder}/bin/pip");
        let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check"];
        arguments.extend(self.packages);
        run(program(&pip, &arguments))
    }

    fn install_npm(&self, folder: &Path) -> Outcome {
        let folder = folder.display().to_string();
        let mut arguments = vec![
            "install",
            "--prefix",
            &folder,
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--loglevel=error",
        ];
        arguments.extend(self.packages);
        run(program("npm", &arguments))
    }
}
