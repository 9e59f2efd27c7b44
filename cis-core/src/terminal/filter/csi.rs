//! Parsing and writing of control sequences (`CSI … final`).

/// Maximum number of parameters that terminals accept, subparameters included. A sequence with more is
/// invalid.
const PARAMS_MAX: usize = 32;

/// A parsed control sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Csi {
    /// One of `<`, `=`, `>`, `?`.
    pub(super) prefix: Option<u8>,
    /// Its parameters; an empty one is none. Numbers saturate as they do in terminals.
    params: [Option<u16>; PARAMS_MAX],
    /// Number of parameters, at least 1.
    pub(super) count: usize,
    /// The intermediate.
    pub(super) inter: Option<u8>,
    pub(super) last: u8,
    /// Whether there are subparameters (`:`), which are not among `params`.
    pub(super) has_sub: bool,
    /// Whether a number is larger than its value in `params`.
    pub(super) is_saturated: bool,
    /// Whether terminals ignore the sequence, or interpret it differently.
    pub(super) malformed: bool,
}

impl Csi {
    /// Parses a whole sequence with an introducer of two bytes. Ignores control characters in it.
    pub(super) fn parse(sequence: &[u8]) -> Self {
        let mut csi = Self { count: 1, ..Self::default() };
        let Some((last, inner)) = sequence.get(2..).and_then(<[u8]>::split_last) else { return csi };
        csi.last = *last;
        let (mut in_sub, mut subs, mut any) = (false, 0, false);
        for byte in inner {
            match byte {
                0x00..=0x1F | 0x7F => continue,
                b'<'..=b'?' if !any => csi.prefix = Some(*byte),
                b'0'..=b'9' if csi.inter.is_none() => {
                    if !in_sub {
                        csi.digit(byte - b'0');
                    }
                }
                b';' if csi.inter.is_none() => {
                    csi.count += 1;
                    in_sub = false;
                }
                b':' if csi.inter.is_none() => {
                    subs += 1;
                    (in_sub, csi.has_sub) = (true, true);
                }
                0x20..=0x2F => {
                    csi.malformed |= csi.inter.is_some();
                    csi.inter = Some(*byte);
                }
                _ => csi.malformed = true,
            }
            any = true;
        }
        csi.malformed |= csi.count + subs > PARAMS_MAX;
        csi
    }

    fn digit(&mut self, digit: u8) {
        let Some(param) = self.params.get_mut(self.count - 1) else { return };
        let before = param.unwrap_or(0);
        let after = before.checked_mul(10).and_then(|tens| tens.checked_add(u16::from(digit)));
        self.is_saturated |= after.is_none();
        *param = Some(after.unwrap_or(u16::MAX));
    }

    /// Returns the parameter at `index`. `None`: it is empty or missing.
    pub(super) fn param(&self, index: usize) -> Option<u16> {
        self.params.get(index).copied().flatten()
    }

    /// Returns the parameter at `index`, or 0 if it is empty or missing.
    pub(super) fn value(&self, index: usize) -> u16 {
        self.param(index).unwrap_or(0)
    }

    /// Returns all parameters, including empty ones.
    pub(super) fn params(&self) -> &[Option<u16>] {
        self.params.get(..self.count).unwrap_or(&self.params)
    }

    /// Writes the sequence with these parameters instead of its own.
    pub(super) fn write(&self, params: impl Iterator<Item = Option<u16>>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[");
        out.extend(self.prefix);
        for (at, param) in params.enumerate() {
            if at > 0 {
                out.push(b';');
            }
            if let Some(param) = param {
                out.extend_from_slice(param.to_string().as_bytes());
            }
        }
        out.extend(self.inter);
        out.push(self.last);
    }
}

/// Returns the first parameter of a control sequence, whole or not; 0 if it has none, or has a prefix or
/// intermediates.
pub(crate) fn csi_first_param(sequence: &[u8]) -> u16 {
    let csi = Csi::parse(sequence);
    if csi.prefix.is_some() || csi.inter.is_some() { 0 } else { csi.value(0) }
}
