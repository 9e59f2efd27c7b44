//! Hands an environment to a new process so that other processes of the same user cannot read it.
//!
//! Until a program calls [`cis_local::conceal`], every process of its user can read the environment that execve(2)
//! got, in /proc/PID/environ; Yama does not restrict that. So nodes and session hosts are executed with a single
//! variable, which tells them to receive the others. Their standard input is a socket, and a file in memory with the
//! environment waits in its queue. /proc/PID/fd cannot open a socket, and pidfd_getfd(2) needs the right to trace.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::descriptors::null_device;

/// Name and value of this variable.
const RECEIVE: (&str, &str) = ("CIS_ENVIRONMENT", "stdin");

/// The whole environment with which such a program is executed.
pub(crate) const HANDED_OVER: &CStr = c"CIS_ENVIRONMENT=stdin";

/// Makes a socket from which a program receives these variables.
///
/// # Errors
/// The file in memory or the socket cannot be made.
pub(crate) fn hand_over(variables: impl IntoIterator<Item = (OsString, OsString)>) -> io::Result<OwnedFd> {
    let mut text = Vec::new();
    for (name, value) in variables {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    let mut file = File::from(memfd_create("environment", MemfdFlags::CLOEXEC)?);
    file.write_all(&text)?;
    file.rewind()?;
    let (ours, theirs) = UnixStream::pair()?;
    let file = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&file)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(&ours, &[IoSlice::new(b"\0")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(theirs.into())
}

/// Changes a command so that its program gets its environment from [`receive_environment`]. Replaces its standard input.
///
/// # Errors
/// The file in memory or the socket cannot be made; the command is unchanged.
pub fn hand_environment_over(command: &mut Command) -> io::Result<()> {
    let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => drop(variables.insert(name.to_owned(), value.to_owned())),
            None => drop(variables.remove(name)),
        }
    }
    let from = hand_over(variables)?;
    command.env_clear().env(RECEIVE.0, RECEIVE.1).stdin(from);
    Ok(())
}

/// Receives the environment of this process, if it was started by [`hand_environment_over`]. Call it while there is
/// only one thread, and after [`cis_local::conceal`].
///
/// # Errors
/// Standard input has no environment.
#[allow(unsafe_code)]
pub fn receive_environment() -> io::Result<()> {
    if std::env::var_os(RECEIVE.0).is_none_or(|value| value != RECEIVE.1) {
        return Ok(());
    }
    let mut text = Vec::new();
    received()?.read_to_end(&mut text)?;
    rustix::stdio::dup2_stdin(null_device()?)?;
    // SAFETY: there is only one thread, so nothing else reads or changes the environment.
    unsafe {
        std::env::remove_var(RECEIVE.0);
        for (name, value) in text.split(|byte| *byte == 0).filter_map(parse) {
            std::env::set_var(name, value);
        }
    }
    Ok(())
}

fn received() -> io::Result<File> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // The file was sent before this process was started.
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(rustix::stdio::stdin(), &mut [IoSliceMut::new(&mut [0])], &mut ancillary, flags)?;
    let mut files = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    files.next().map(File::from).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Splits a variable into name and value; none if its name is empty.
fn parse(variable: &[u8]) -> Option<(&OsStr, &OsStr)> {
    let at = variable.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(&variable[at + 1..])))
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn an_environment_lies_in_the_queue_of_the_programs_standard_input() {
        let script = "import os, socket, sys\n\
            _, files, _, _ = socket.recv_fds(socket.socket(fileno=0), 1, 1)\n\
            own = open('/proc/self/environ', 'rb').read()\n\
            sys.stdout.buffer.write(own + b'\\n' + open(files[0], 'rb').read())";
        let mut command = Command::new("/usr/bin/env");
        command.args(["python3", "-c", script]).stdout(Stdio::piped());
        command.env("GIVEN", "a=b\nc").env_remove("HOME");
        hand_environment_over(&mut command).unwrap();
        let said = command.output().unwrap().stdout;
        let mut parts = said.splitn(2, |byte| *byte == b'\n');
        assert_eq!(parts.next().unwrap(), [HANDED_OVER.to_bytes(), b"\0"].concat());
        let given: Vec<_> = parts.next().unwrap().split(|byte| *byte == 0).filter_map(parse).collect();
        let value = |name: &str| given.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
        assert_eq!((value("GIVEN"), value("HOME")), (Some(OsStr::new("a=b\nc")), None));
        assert_eq!(value("PATH"), std::env::var_os("PATH").as_deref());
    }

    #[test]
    fn what_is_no_variable_is_left_out() {
        for bad in [&b""[..], b"=", b"=x", b"=x=y", b"x"] {
            assert_eq!(parse(bad), None);
        }
        assert_eq!(parse(b"A="), Some((OsStr::new("A"), OsStr::new(""))));
    }
}
