//! Passes bytes and open descriptors to the next program of this process (execve(2)).
//!
//! They wait in the queue of a socket, as the environment does (see the module `handover`): until the new program is closed to the other
//! processes of its user, these could open its files through /proc/PID/fd, but not what is in a socket. All descriptors
//! stay close-on-exec but the socket itself, so nothing else is inherited.

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use rustix::fs::{FileType, MemfdFlags, fstat, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::descriptors::null_device;

/// So many descriptors go with one message (SCM_MAX_FD of the kernel is 253).
const PER_MESSAGE: usize = 250;

/// Number of a descriptor among those that are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PassedNumber(usize);

/// Descriptors that are to be passed.
#[derive(Debug, Default)]
pub(crate) struct Outgoing<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Outgoing<'a> {
    pub(crate) fn put(&mut self, descriptor: &'a impl AsFd) -> PassedNumber {
        self.0.push(descriptor.as_fd());
        PassedNumber(self.0.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Descriptors that were passed; each is taken once.
#[derive(Debug)]
pub(crate) struct Incoming(Vec<Option<OwnedFd>>);

impl Incoming {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// # Errors
    /// It was not passed, or was taken before.
    pub(crate) fn take(&mut self, number: PassedNumber) -> io::Result<OwnedFd> {
        let descriptor = self.0.get_mut(number.0).and_then(Option::take);
        descriptor.ok_or_else(|| io::Error::other(format!("descriptor {} was not passed", number.0)))
    }
}

/// Makes a socket from which [`receive`] gets these bytes and copies of these descriptors.
///
/// # Errors
/// The file in memory or the socket cannot be made, or its queue does not take them.
pub(crate) fn pass(bytes: &[u8], descriptors: &Outgoing<'_>) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    let (ours, theirs) = UnixStream::pair()?;
    send(&ours, &[file.as_fd()])?;
    for some in descriptors.0.chunks(PER_MESSAGE) {
        send(&ours, some)?;
    }
    Ok(theirs.into())
}

fn send(socket: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(b"\0")], &mut ancillary, flags)?;
    Ok(())
}

/// Takes all that [`pass`] put into the queue of this socket. The descriptors are close-on-exec.
///
/// # Errors
/// The socket has something else.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Incoming)> {
    let mut files = Vec::new();
    while receive_some(socket.as_fd(), &mut files)? {}
    let mut files = files.into_iter();
    let state = files.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut bytes = Vec::new();
    File::from(state).read_to_end(&mut bytes)?;
    Ok((bytes, Incoming(files.map(Some).collect())))
}

/// Takes one message. False after the last one.
fn receive_some(socket: BorrowedFd<'_>, files: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // All was sent, and the other end closed, before this is called.
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            files.extend(some);
        }
    }
    Ok(received.bytes > 0)
}

/// Replaces this program by another one in the same process. Its standard input is `stdin`, and it inherits `kept` besides its standard
/// streams. Its environment is [`super::HANDED_OVER`]. The process must have one thread.
///
/// Returns only if that fails; then nothing has changed, but that the standard input is `/dev/null`.
#[allow(unsafe_code)]
pub(crate) fn execute(
    program: &CStr,
    arguments: &[CString],
    stdin: BorrowedFd<'_>,
    kept: BorrowedFd<'_>,
) -> io::Error {
    let prepared = rustix::stdio::dup2_stdin(stdin).and_then(|()| fcntl_setfd(kept, FdFlags::empty()));
    if let Err(error) = prepared {
        return error.into();
    }
    let arguments: Vec<*const c_char> =
        arguments.iter().map(|one| one.as_ptr()).chain([ptr::null()]).collect();
    let environment = [super::HANDED_OVER.as_ptr(), ptr::null()];
    // SAFETY: the program and all arguments are strings that end in null, both arrays end in a null pointer, and all of them
    // outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    let error = io::Error::last_os_error();
    // Both fail only for descriptors that are not open.
    let _ = fcntl_setfd(kept, FdFlags::CLOEXEC);
    let _ = null_device().map(rustix::stdio::dup2_stdin);
    error
}

/// Takes over the socket that an earlier program of this process left open in [`execute`].
///
/// For the first step of a program, which owns no descriptor yet; each number once.
///
/// # Errors
/// There is no such socket.
#[allow(unsafe_code)]
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: a number that is not open only makes the two calls fail; nothing keeps the borrowed value.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    let is_socket = FileType::from_raw_mode(fstat(found)?.st_mode) == FileType::Socket;
    if !is_socket {
        return Err(Errno::NOTSOCK.into());
    }
    fcntl_setfd(found, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and by the contract above nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn bytes_and_many_descriptors_arrive_in_order_and_close_on_exec() {
        let files: Vec<File> = (0..600)
            .map(|n: u32| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&n.to_le_bytes()).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        let mut outgoing = Outgoing::default();
        let numbers: Vec<_> = files.iter().map(|file| outgoing.put(file)).collect();
        let socket = pass(b"some state", &outgoing).unwrap();
        drop(files);
        let (bytes, mut incoming) = receive(&socket).unwrap();
        assert_eq!((&bytes[..], incoming.len()), (&b"some state"[..], 600));
        for (n, number) in numbers.iter().enumerate() {
            let file = incoming.take(*number).unwrap();
            assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
            let mut content = [0; 4];
            File::from(file).read_exact(&mut content).unwrap();
            assert_eq!(u32::from_le_bytes(content), u32::try_from(n).unwrap());
            assert!(incoming.take(*number).is_err(), "once");
        }
        assert!(incoming.take(PassedNumber(600)).is_err());
    }

    #[test]
    fn a_socket_with_something_else_and_what_is_no_socket_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert!(receive(&theirs).is_err(), "its other end is open");
        drop(ours);
        assert!(receive(&theirs).is_err());
        let file = tempfile::tempfile().unwrap();
        for number in [-1, 0, 2, file.as_raw_fd(), 1_000_000] {
            assert!(inherited(number).is_err(), "{number}");
        }
        let number = theirs.into_raw_fd();
        assert_eq!(inherited(number).unwrap().as_raw_fd(), number);
    }

    #[test]
    fn a_program_that_cannot_be_executed_changes_nothing() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let (stdin, kept) = (null_device().unwrap(), theirs);
        let error = execute(c"/no/such/program", &[c"program".to_owned()], stdin.as_fd(), kept.as_fd());
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(rustix::io::fcntl_getfd(&kept).unwrap().contains(FdFlags::CLOEXEC));
    }
}
