//! What a thread waits for, as Linux writes it down: the line of its system call, the arrays that the
//! call points at, what an epoll descriptor holds. Pure: it is given their bytes, and none of them is
//! trusted, since a program writes most of them.

/// No more descriptors of one call are looked at.
pub(super) const DESCRIPTORS_MAX: usize = 1024;
/// CLOCK_MONOTONIC and TIMER_ABSTIME, as the registers have them (clock_nanosleep(2)).
const MONOTONIC: u32 = libc::CLOCK_MONOTONIC.unsigned_abs();
const ABSOLUTE: u32 = libc::TIMER_ABSTIME.unsigned_abs();
/// Parts of a second of a `struct timespec`.
pub(super) const NANOS: u64 = 1_000_000_000;
/// Of a `struct timeval`.
const MICROS: u64 = 1_000_000;
/// Bytes of both.
pub(super) const TIME_BYTES: usize = 16;
/// Bytes of a `struct pollfd`.
pub(super) const POLLFD_BYTES: usize = 8;

/// A system call in which a thread sleeps, as far as it may wait for input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// One of the reads.
    Read {
        /// From.
        descriptor: u32,
    },
    /// poll, ppoll.
    Poll {
        /// Address of its `struct pollfd`s.
        at: u64,
        /// So many, at most [`DESCRIPTORS_MAX`].
        count: usize,
    },
    /// select, pselect6.
    Select {
        /// Address of the set of those to be read.
        at: u64,
        /// So many bits of it count, at most [`DESCRIPTORS_MAX`].
        count: usize,
    },
    /// epoll_wait, epoll_pwait, epoll_pwait2.
    Epoll {
        /// The epoll descriptor.
        descriptor: u32,
    },
    /// A message or a connection from a peer.
    Peer,
    /// A sleep for a time that stands at this address: a `struct timespec`, or a `struct timeval`, by how many parts of a second its second
    /// number counts.
    Sleep {
        /// Address.
        at: u64,
        /// 1,000,000,000 or 1,000,000.
        parts: u64,
    },
    /// A sleep until a time of the clock that counts from the start of the machine (CLOCK_MONOTONIC).
    Until {
        /// Address of its `struct timespec`.
        at: u64,
    },
    /// A sleep of so many ms.
    Nap {
        /// For so long.
        ms: u64,
    },
    /// It goes on with a call that a stop has interrupted: a poll, if it sleeps in one (the registers are
    /// still the poll's), or a sleep, or a futex.
    Resumed {
        /// As of [`Self::Poll`].
        at: u64,
        /// As of [`Self::Poll`].
        count: usize,
    },
}

/// Of a line of `/proc/PID/task/T/syscall` (proc(5)): `NUMBER ARG0 … ARG5 SP PC`, arguments in
/// hexadecimal. None where the thread runs, is in no call, or in one that waits for no input.
///
/// Programs of 32 bits have other numbers ([`native`]). What they sleep for is not understood where their times have 32 bits.
pub(super) fn call(line: &[u8]) -> Option<Call> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let mut values = [0u64; 8];
    for value in &mut values {
        *value = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    let [first, second, third, _, fifth, _, stack, instruction] = values;
    // Of a program of 64 bits, the stack and the C library are far above.
    let has_32_bits = u32::try_from(stack.max(instruction)).is_ok();
    let number = if has_32_bits { native(number, first)? } else { number };
    // A descriptor and a count are an int: what stands above it in the register means nothing.
    #[allow(clippy::cast_possible_truncation, reason = "as the kernel does it")]
    let descriptor = |argument: u64| argument as u32;
    let few = |argument: u64| usize::try_from(descriptor(argument)).unwrap_or(0).min(DESCRIPTORS_MAX);
    match number {
        libc::SYS_read | libc::SYS_readv | libc::SYS_pread64 | libc::SYS_preadv | libc::SYS_preadv2 => {
            Some(Call::Read { descriptor: descriptor(first) })
        }
        libc::SYS_splice => Some(Call::Read { descriptor: descriptor(first) }),
        libc::SYS_sendfile => Some(Call::Read { descriptor: descriptor(second) }),
        libc::SYS_clock_nanosleep => match (descriptor(first), descriptor(second)) {
            (_, 0) => Some(Call::Sleep { at: third, parts: NANOS }),
            (MONOTONIC, ABSOLUTE) => Some(Call::Until { at: third }),
            _ => None,
        },
        libc::SYS_nanosleep => Some(Call::Sleep { at: first, parts: NANOS }),
        libc::SYS_ppoll if few(second) == 0 => Some(Call::Sleep { at: third, parts: NANOS }),
        libc::SYS_pselect6 if few(first) == 0 => Some(Call::Sleep { at: fifth, parts: NANOS }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll if few(second) == 0 => Some(Call::Nap { ms: u64::from(descriptor(third)) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select if few(first) == 0 => Some(Call::Sleep { at: fifth, parts: MICROS }),
        libc::SYS_ppoll => Some(Call::Poll { at: first, count: few(second) }),
        libc::SYS_pselect6 => Some(Call::Select { at: second, count: few(first) }),
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Some(Call::Epoll { descriptor: descriptor(first) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => Some(Call::Poll { at: first, count: few(second) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Some(Call::Select { at: second, count: few(first) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => Some(Call::Epoll { descriptor: descriptor(first) }),
        libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_accept
        | libc::SYS_accept4 => Some(Call::Peer),
        libc::SYS_restart_syscall => Some(Call::Resumed { at: first, count: few(second) }),
        _ => None,
    }
}

/// The number here of a system call that a program of 32 bits has made (arch/x86/entry/syscalls/syscall_32.tbl).
#[cfg(target_arch = "x86_64")]
fn native(number: libc::c_long, first: u64) -> Option<libc::c_long> {
    Some(match number {
        3 => libc::SYS_read,
        145 => libc::SYS_readv,
        180 => libc::SYS_pread64,
        333 => libc::SYS_preadv,
        313 => libc::SYS_splice,
        187 | 239 => libc::SYS_sendfile,
        407 => libc::SYS_clock_nanosleep,
        168 => libc::SYS_poll,
        309 | 414 => libc::SYS_ppoll,
        142 => libc::SYS_select,
        308 | 413 => libc::SYS_pselect6,
        256 => libc::SYS_epoll_wait,
        319 => libc::SYS_epoll_pwait,
        441 => libc::SYS_epoll_pwait2,
        // socketcall(2): accept, recv, recvfrom, recvmsg, accept4, recvmmsg.
        102 if matches!(first, 5 | 10 | 12 | 17 | 18 | 19) => libc::SYS_recvfrom,
        364 | 371 | 372 | 337 | 417 => libc::SYS_recvfrom,
        0 => libc::SYS_restart_syscall,
        _ => return None,
    })
}

/// Those of other machines are not understood.
#[cfg(not(target_arch = "x86_64"))]
const fn native(_number: libc::c_long, _first: u64) -> Option<libc::c_long> {
    None
}

/// The function in the kernel that a thread sleeps in (`/proc/PID/task/T/wchan`) is that of a poll.
pub(super) fn is_poll(sleeps_in: &[u8]) -> bool {
    [&b"poll_schedule_timeout"[..], b"do_sys_poll", b"do_poll"].iter().any(|name| sleeps_in.starts_with(name))
}

/// It is one in which readers of a terminal sleep: a read or a poll of it, but others as well.
pub(super) fn may_be_of_a_terminal(sleeps_in: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [b"wait_woken", b"n_tty_read", b"do_select", b"ep_poll", b"do_epoll_wait"];
    is_poll(sleeps_in) || NAMES.iter().any(|name| sleeps_in.starts_with(name))
}

/// The ms of a time that a call points at; none where it says that there is no end.
pub(super) fn ms_of(time: &[u8], parts: u64) -> Option<u64> {
    let number = |at: usize| time.get(at..)?.first_chunk().map(|bytes| i64::from_ne_bytes(*bytes));
    let (seconds, part) = (u64::try_from(number(0)?).ok()?, u64::try_from(number(8)?).ok()?);
    seconds.checked_mul(1000)?.checked_add(part.checked_mul(1000)? / parts)
}

/// Those of an array of `struct pollfd` that are asked for input.
pub(super) fn polled(array: &[u8]) -> Vec<u32> {
    let asked = |entry: &[u8]| {
        let descriptor = i32::from_ne_bytes(*entry.first_chunk::<4>()?);
        let events = i16::from_ne_bytes(*entry.get(4..)?.first_chunk::<2>()?);
        let input = events & (libc::POLLIN | libc::POLLRDNORM) != 0;
        // One below zero is left out by poll itself.
        u32::try_from(descriptor).ok().filter(|_| input)
    };
    array.chunks_exact(POLLFD_BYTES).take(DESCRIPTORS_MAX).filter_map(asked).collect()
}

/// The descriptors in a set (`fd_set`), of which `count` bits count.
pub(super) fn selected(set: &[u8], count: usize) -> Vec<u32> {
    const WORD: usize = size_of::<libc::c_ulong>();
    let mut found = Vec::new();
    for (word, bytes) in set.chunks_exact(WORD).enumerate() {
        let Ok(bytes) = <[u8; WORD]>::try_from(bytes) else { break };
        let mut bits = libc::c_ulong::from_ne_bytes(bytes);
        while bits != 0 {
            let number = word * WORD * 8 + bits.trailing_zeros() as usize;
            if number < count.min(DESCRIPTORS_MAX) {
                found.extend(u32::try_from(number));
            }
            bits &= bits - 1;
        }
    }
    found
}

/// So many bytes hold a set of this size.
pub(super) fn set_bytes(count: usize) -> usize {
    count.min(DESCRIPTORS_MAX).div_ceil(64) * 8
}

/// Of `/proc/PID/fdinfo/N` of an epoll descriptor, those that it is asked for input of:
/// `tfd: 5 events: 19 data: …`, events in hexadecimal.
pub(super) fn watched(fdinfo: &[u8]) -> Vec<u32> {
    const INPUT: u64 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u64;
    let text = String::from_utf8_lossy(fdinfo);
    let entry = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let descriptor = words.next()?.parse().ok()?;
        let events = words.by_ref().skip_while(|word| *word != "events:").nth(1)?;
        let events = u64::from_str_radix(events, 16).ok()?;
        (events & INPUT != 0).then_some(descriptor)
    };
    text.lines().filter_map(entry).take(DESCRIPTORS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(number: libc::c_long, arguments: [u64; 6]) -> Vec<u8> {
        let words: Vec<String> = arguments.iter().map(|argument| format!("{argument:#x}")).collect();
        format!("{number} {} 0x7ffd00000001 0x7f0100000001\n", words.join(" ")).into_bytes()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_of_32_bits_have_other_numbers() {
        let of = |number: u32, first: u32| {
            call(format!("{number} {first:#x} 0xffe0 0x1 0x0 0x0 0x0 0xffab1230 0x80480ff\n").as_bytes())
        };
        assert_eq!(of(3, 0), Some(Call::Read { descriptor: 0 }));
        assert_eq!(of(142, 1), Some(Call::Select { at: 0xffe0, count: 1 }));
        assert_eq!(of(102, 10), Some(Call::Peer));
        assert_eq!(of(102, 3), None, "it connects");
        assert_eq!(of(6, 0), None, "it closes, and has no number of ours");
    }

    #[test]
    fn calls_are_told_apart_by_their_number() {
        let arguments = [0x1f, 7, 0x30, 0, 0, 0];
        let of = |number| call(&line(number, arguments));
        assert_eq!(of(libc::SYS_read), Some(Call::Read { descriptor: 31 }));
        assert_eq!(of(libc::SYS_readv), Some(Call::Read { descriptor: 31 }));
        assert_eq!(of(libc::SYS_sendfile), Some(Call::Read { descriptor: 7 }));
        assert_eq!(of(libc::SYS_ppoll), Some(Call::Poll { at: 31, count: 7 }));
        assert_eq!(of(libc::SYS_pselect6), Some(Call::Select { at: 7, count: 31 }));
        assert_eq!(of(libc::SYS_epoll_pwait), Some(Call::Epoll { descriptor: 31 }));
        assert_eq!(of(libc::SYS_recvmsg), Some(Call::Peer));
        assert_eq!(of(libc::SYS_restart_syscall), Some(Call::Resumed { at: 31, count: 7 }));
        assert_eq!(of(libc::SYS_write), None);
        assert_eq!(of(libc::SYS_wait4), None);
    }

    #[test]
    fn what_is_no_call_is_none() {
        for line in ["running\n", "-1 0x7ffd 0x7f\n", "", "0", "0 0x", "0 1f 0x1", "0 0x1 0x2 0x3", "x 0x1"] {
            assert_eq!(call(line.as_bytes()), None, "{line}");
        }
        assert_eq!(call(b"0 0x\xff"), None);
    }

    #[test]
    fn only_the_int_of_a_register_counts() {
        let wide = line(libc::SYS_read, [0xdead_0000_0003, 0, 0, 0, 0, 0]);
        assert_eq!(call(&wide), Some(Call::Read { descriptor: 3 }));
        let many = line(libc::SYS_ppoll, [9, u64::MAX, 0, 0, 0, 0]);
        assert_eq!(call(&many), Some(Call::Poll { at: 9, count: DESCRIPTORS_MAX }));
    }

    #[test]
    fn only_those_asked_for_input_are_polled() {
        let entry = |descriptor: i32, events: i16| {
            [&descriptor.to_ne_bytes()[..], &events.to_ne_bytes(), &[0xff; 2]].concat()
        };
        let array = [
            entry(5, libc::POLLIN),
            entry(6, libc::POLLOUT),
            entry(-1, libc::POLLIN),
            entry(7, libc::POLLRDNORM | libc::POLLOUT),
            vec![1, 0, 0],
        ];
        assert_eq!(polled(&array.concat()), [5, 7]);
    }

    #[test]
    fn an_epoll_descriptor_tells_its_targets() {
        let fdinfo = "pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t1061\n\
             tfd:       10 events:       19 data:                a  pos:0 ino:425 sdev:f\n\
             tfd:       11 events:        4 data:                b  pos:0 ino:426 sdev:f\n\
             tfd:       12 events: 40000000 data:                b  pos:0 ino:426 sdev:f\n\
             tfd:       13 events: 40002041 data: 1\n\
             tfd:        x events:        1\ntfd: 14\ntfd: 15 events:\ntfd: 99999999999 events: 1\n";
        assert_eq!(watched(fdinfo.as_bytes()), [10, 13]);
    }

    proptest! {
        #[test]
        fn a_set_holds_its_members(members in prop::collection::btree_set(0usize..1500, 0..60), count in 0usize..2000) {
            let mut set = [0u8; 192];
            for member in &members {
                set[member / 8] |= 1 << (member % 8);
            }
            let expected: Vec<u32> = members
                .iter()
                .filter(|member| **member < count.min(DESCRIPTORS_MAX))
                .map(|member| u32::try_from(*member).unwrap())
                .collect();
            let given = &set[..set_bytes(count).min(set.len())];
            prop_assert_eq!(selected(given, count), expected);
        }

        #[test]
        fn nothing_that_a_program_can_write_is_too_much(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let _ = call(&bytes);
            prop_assert!(polled(&bytes).len() <= DESCRIPTORS_MAX);
            prop_assert!(selected(&bytes, usize::MAX).len() <= DESCRIPTORS_MAX);
            prop_assert!(watched(&bytes).len() <= DESCRIPTORS_MAX);
        }

        #[test]
        fn hostile_lines_are_no_calls_beyond_their_bounds(number in any::<i32>(), arguments in any::<[u64; 6]>(), cut in 0usize..120) {
            let whole = line(i64::from(number), arguments);
            let call = call(&whole[..cut.min(whole.len())]);
            if let Some(Call::Poll { count, .. } | Call::Select { count, .. } | Call::Resumed { count, .. }) = call {
                prop_assert!(count <= DESCRIPTORS_MAX);
            }
        }

        #[test]
        fn hostile_fdinfo_names_no_more_than_it_says(lines in prop::collection::vec("tfd:[ 0-9]{0,12}( events:)?[ 0-9a-fx]{0,10}", 0..50)) {
            prop_assert!(watched(lines.join("\n").as_bytes()).len() <= lines.len());
        }
    }
}
