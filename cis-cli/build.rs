//! Makes the release program smaller, and the one of the tests start faster, where linker and C library can do that.
//!
//! Owns the flags for it. Each is tried with a small program, which has to run: linkers differ, and what they write has to be understood by the
//! C library.
#![allow(clippy::disallowed_methods, reason = "cargo gives its arguments in the environment")]

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set it to build a program for machines with an earlier C library than this one.
const PORTABLE: &str = "CIS_BUILD_PORTABLE";

/// Functions with the same code once (`--icf` of lld and gold); relocations in a few bytes (glibc 2.36 or later).
const RELEASE: &[&str] = &["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"];

/// At a fixed address. Without optimization there are half a million relocations, which take more than half of the processor time of a short
/// command, and tests run tens of thousands of them. A release stays at a random address, as that makes attacks harder.
const DEBUG: &[&str] = &["-no-pie"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [PORTABLE, "RUSTC_LINKER"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let value = |name: &str| env::var(name).unwrap_or_default();
    // A program for another machine cannot be tried here.
    if value("HOST") != value("TARGET") || !value(PORTABLE).is_empty() {
        return;
    }
    let flags = if value("PROFILE") == "release" { RELEASE } else { DEBUG };
    let program = Path::new(&value("OUT_DIR")).join("tried");
    for flag in flags.iter().filter(|flag| runs_with(flag, &program).unwrap_or(false)) {
        println!("cargo::rustc-link-arg-bin=cis={flag}");
    }
}

/// Whether a program that is linked as ours, and with this flag, runs.
fn runs_with(flag: &str, program: &Path) -> io::Result<bool> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg("--crate-type=bin").arg(format!("-Clink-arg={flag}")).arg("-o").arg(program);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-Clinker").arg(linker);
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    let mut rustc =
        rustc.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut source) = rustc.stdin.take() {
        source.write_all(b"fn main() {}")?;
    }
    Ok(rustc.wait()?.success() && Command::new(program).status()?.success())
}
