//! A peer that sends given bytes, a few at a time, whatever it is told.

use std::io::{self, Read, Write};

pub struct Peer<'b> {
    rest: &'b [u8],
    step: usize,
}

impl<'b> Peer<'b> {
    /// The first byte says how many are sent at a time.
    pub fn new(bytes: &'b [u8]) -> Peer<'b> {
        let (step, rest) = bytes.split_first().map_or((1, bytes), |(first, rest)| (usize::from(*first), rest));
        Peer { rest, step: step.max(1) }
    }
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(self.rest.len()).min(buffer.len());
        let (now, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = rest;
        Ok(count)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
