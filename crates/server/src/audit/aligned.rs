//! Bytes at an address that the disk can be given as it is.

/// What direct writes must be multiples of, in address, offset and length. No common disk needs more.
pub(super) const BLOCK: usize = 4096;

/// A growing buffer whose first byte is at a multiple of [`BLOCK`].
#[derive(Debug, Default)]
pub(super) struct Aligned {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub(super) fn zeros(length: usize) -> Self {
        let mut zeros = Self::default();
        zeros.make_room(length);
        zeros.length = length;
        zeros
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.make_room(end);
        self.storage[self.start + self.length..self.start + end].copy_from_slice(bytes);
        self.length = end;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }

    /// The bytes, and zeros to the end of the last block.
    pub(super) fn padded(&mut self) -> &[u8] {
        let end = self.length.next_multiple_of(BLOCK);
        self.make_room(end);
        self.storage[self.start + self.length..self.start + end].fill(0);
        &self.storage[self.start..self.start + end]
    }

    /// Forgets the whole blocks; what is left of the last one moves to the front.
    pub(super) fn keep_last_block(&mut self) {
        let whole = self.length - self.length % BLOCK;
        let kept = self.start + whole..self.start + self.length;
        self.length -= whole;
        self.storage.copy_within(kept, self.start);
    }

    fn make_room(&mut self, length: usize) {
        if self.start + length <= self.storage.len() {
            return;
        }
        let wanted = length.max(2 * self.length);
        let mut storage = vec![0; wanted.next_multiple_of(BLOCK) + BLOCK];
        // Without the alignment a direct write fails, and then plain ones are used.
        let start = match storage.as_ptr().align_offset(BLOCK) {
            offset if offset < BLOCK => offset,
            _ => 0,
        };
        storage[start..start + self.length].copy_from_slice(self.bytes());
        self.storage = storage;
        self.start = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are_however_the_buffer_grows() {
        let mut aligned = Aligned::default();
        let mut expected = Vec::new();
        for number in 0..300_u32 {
            let piece = vec![u8::try_from(number % 251).unwrap() + 1; (number % 97) as usize];
            aligned.push(&piece);
            expected.extend_from_slice(&piece);
            assert_eq!(aligned.bytes(), expected);
            if number % 7 == 0 {
                let padded = aligned.padded().to_vec();
                assert_eq!(padded.len() % BLOCK, 0);
                assert_eq!(padded.as_slice()[..expected.len()], expected);
                assert!(padded[expected.len()..].iter().all(|byte| *byte == 0));
            }
            if number % 31 == 0 {
                aligned.keep_last_block();
                expected.drain(..expected.len() - expected.len() % BLOCK);
                assert_eq!(aligned.bytes(), expected);
            }
            assert!(expected.is_empty() || aligned.bytes().as_ptr().align_offset(BLOCK) == 0);
        }
        assert!(Aligned::zeros(5_000).bytes().iter().all(|byte| *byte == 0));
    }
}
