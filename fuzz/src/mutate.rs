//! Inputs made from inputs, for the lane that needs no fuzzing engine. The same seed makes the same inputs.

/// The longest input made. The limits of most decoders lie below, those of the others are tested where they are.
const LONGEST: usize = 64 * 1024;
/// How often something is repeated at most: deep nesting, long lists, many separators.
const MOST_REPEATS: usize = 3_000;

/// Pieces that mean something to one decoder or another.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "1e999",
    "-0",
    "18446744073709551616",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\0",
    "\u{feff}",
    "\u{430}",
    "\u{202e}",
    "---\n",
    "- ",
    "&a ",
    "*a",
    "!!binary ",
    "<<: ",
    "#",
    "|\n",
    "/",
    "//",
    "..",
    "%2f",
    "@",
    "@sha256:",
    "sha256:",
    "SHA256:",
    "*",
    "**",
    "?",
    "=",
    "==",
    ".",
    "-",
    "_",
    "~",
    "projects/p/",
    "attestors/",
    "notes/",
    "occurrences/",
    "locations/l/",
    "keyRings/r/",
    "cryptoKeys/k/",
    "cryptoKeyVersions/1",
    "AND ",
    "OR ",
    "NOT ",
    "(",
    ")",
    "=~",
    "!=",
    ">=",
    "timestamp",
    "severity",
    "jsonPayload.",
    "\"containers\":[",
    "\"image\":",
    "\"initContainers\":[",
    "\"ephemeralContainers\":[",
    "\"volumes\":[",
    "\"critical\":{",
    "\"optional\":{",
    "docker-manifest-digest",
    "-----BEGIN ",
    "-----END ",
    "-----\n",
    "=AAAA",
    "- -----",
    "admissionWhitelistPatterns:\n",
    "defaultAdmissionRule:\n",
    "evaluationMode: ",
    "REQUIRE_ATTESTATION",
];

/// A small generator of numbers (splitmix64): good enough to choose by, and nothing else is asked of it.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Numbers that follow from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if there is none.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }
}

/// One input, made from those of the corpus by up to eight changes.
pub fn input(corpus: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = corpus
        .get(numbers.below(corpus.len()))
        .cloned()
        .unwrap_or_default();
    for _ in 0..numbers.below(9) {
        change(&mut bytes, corpus, numbers);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], numbers: &mut Numbers) {
    let start = numbers.below(bytes.len() + 1);
    let end = start + numbers.below((bytes.len() - start).min(40) + 1);
    match numbers.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte = numbers.next().to_le_bytes()[0];
            }
        }
        2 => drop(bytes.drain(start..end)),
        3 => {
            let piece = PIECES[numbers.below(PIECES.len())];
            drop(bytes.splice(start..end, piece.bytes()));
        }
        4 => {
            let piece = PIECES[numbers.below(PIECES.len())];
            drop(bytes.splice(start..start, piece.bytes()));
        }
        // Something of what is there, elsewhere once more.
        5 => {
            let part = bytes[start..end].to_vec();
            let at = numbers.below(bytes.len() + 1);
            drop(bytes.splice(at..at, part));
        }
        // Something many times.
        6 if numbers.below(8) == 0 => {
            let part = match numbers.below(2) {
                0 => bytes[start..end].to_vec(),
                _ => PIECES[numbers.below(PIECES.len())].into(),
            };
            let part = part.repeat(numbers.below(MOST_REPEATS.min(LONGEST / part.len().max(1))));
            drop(bytes.splice(start..start, part));
        }
        7 => bytes.truncate(start),
        // The end of another.
        _ => {
            if let Some(other) = corpus.get(numbers.below(corpus.len())) {
                let from = numbers.below(other.len() + 1);
                bytes.truncate(start);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_its_inputs_and_no_others() {
        let corpus = [b"{\"a\":[1,2,3]}".to_vec(), b"projects/p/notes/n".to_vec()];
        let make = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..200).map(|_| input(&corpus, &mut numbers)).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let inputs = make(1);
        assert!(inputs.iter().all(|input| input.len() <= LONGEST));
        assert!(inputs.iter().filter(|input| !corpus.contains(input)).count() > 150);
    }

    #[test]
    fn nothing_to_begin_with_is_enough() {
        let mut numbers = Numbers::new(7);
        let inputs: Vec<_> = (0..50).map(|_| input(&[], &mut numbers)).collect();
        assert!(inputs.iter().any(|input| !input.is_empty()));
    }
}
