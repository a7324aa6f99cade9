//! Which words are in some texts, with few bytes: a Bloom filter. It may know a word that is not there; it knows every word
//! that is.
//!
//! A word is a run of ASCII letters and digits of a folded text, and is known by its beginning. Where a text has to contain
//! another one, a word of that other one counts only if it must be a word, or the beginning of one, there too.

use binauthz_wire::logging::{Demand, fold};

/// 1 KiB for a block of 128 KiB: some 450 words of 93 verdicts set a quarter of the bits, and one unknown word in a
/// thousand seems known.
pub(super) const BYTES: usize = 1_024;
const BITS: u64 = BYTES as u64 * 8;
/// Bits for a word.
const PROBES: u64 = 5;
/// Texts of one query, and words of one text, that blocks are asked about. A full journal has 33 000 blocks, and a word
/// is looked up in 10 ns: 64 texts that each have one word cost 20 ms, and most end at the first that is not there.
const MOST_TEXTS: usize = 64;
const MOST_WORDS: usize = 16;
/// How much of a word is known.
const BEGINNING: usize = 12;

/// The words of some texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Box<[u8; BYTES]>);

impl Default for Words {
    fn default() -> Words {
        Words(Box::new([0; BYTES]))
    }
}

impl Words {
    /// Adds the words of a text.
    pub(super) fn add_folded(&mut self, text: &str) {
        self.add(fold(text).as_bytes());
    }

    /// Adds the words of a text that is folded, or differs from what it is folded to only by the case of its letters.
    pub(super) fn add(&mut self, text: &[u8]) {
        for word in text.split(|byte| !byte.is_ascii_alphanumeric()) {
            if is_counted(word) {
                for bit in bits(hash(word)) {
                    self.0[bit / 8] |= 1 << (bit % 8);
                }
            }
        }
    }

    /// Adds those of others.
    pub(super) fn include(&mut self, others: &Words) {
        for (bits, more) in self.0.iter_mut().zip(others.0.iter()) {
            *bits |= more;
        }
    }

    fn has(&self, hash: u64) -> bool {
        bits(hash).all(|bit| self.0[bit / 8] & (1 << (bit % 8)) != 0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Words> {
        Some(Words(Box::new(bytes.try_into().ok()?)))
    }
}

/// What a query demands, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sought {
    Nothing,
    All(Vec<Sought>),
    Any(Vec<Sought>),
    /// Each of these, by their hashes.
    Words(Vec<u64>),
}

impl Sought {
    pub(super) fn new(demand: &Demand<'_>) -> Sought {
        let mut left = MOST_TEXTS;
        Sought::of(demand, &mut left)
    }

    /// Texts beyond `left` are taken for ones that may be anywhere.
    fn of(demand: &Demand<'_>, left: &mut usize) -> Sought {
        let (text, whole) = match demand {
            Demand::Nothing => return Sought::Nothing,
            Demand::All(parts) => {
                return Sought::All(parts.iter().map(|part| Sought::of(part, left)).collect());
            }
            Demand::Any(parts) => {
                return Sought::Any(parts.iter().map(|part| Sought::of(part, left)).collect());
            }
            Demand::Is(text) => (text, true),
            Demand::Within(text) => (text, false),
        };
        let Some(fewer) = left.checked_sub(1) else {
            return Sought::Nothing;
        };
        *left = fewer;
        let mut words = certain(text, whole);
        words.truncate(MOST_WORDS);
        match words.is_empty() {
            true => Sought::Nothing,
            false => Sought::Words(words),
        }
    }

    /// Whether what is demanded may be among the words.
    pub(super) fn may_be_in(&self, words: &Words) -> bool {
        match self {
            Sought::Nothing => true,
            Sought::All(parts) => parts.iter().all(|part| part.may_be_in(words)),
            Sought::Any(parts) => parts.iter().any(|part| part.may_be_in(words)),
            Sought::Words(hashes) => hashes.iter().all(|hash| words.has(*hash)),
        }
    }
}

/// The words that every text has which is this one (`whole`), or contains it.
fn certain(text: &str, whole: bool) -> Vec<u64> {
    let mut words: Vec<&[u8]> = text
        .as_bytes()
        .split(|byte| !byte.is_ascii_alphanumeric())
        .collect();
    if whole {
        words.retain(|word| is_counted(word));
        return words.into_iter().map(hash).collect();
    }
    // The last one may go on in the text: only its beginning is certain, and that there is more than is ever left out.
    let last = words
        .pop()
        .filter(|last| last.len() > BEGINNING && !last.iter().take(BEGINNING).all(u8::is_ascii_digit));
    // The first one may have begun before, also if it is the last one too.
    let (last, words) = match words.split_first() {
        Some((_, rest)) => (last, rest),
        None => (None, words.as_slice()),
    };
    let within = words.iter().copied().filter(|word| is_counted(word));
    within.chain(last).map(hash).collect()
}

/// Whether a whole word is worth its bits. Numbers and the parts of UUIDs are different in every record and rarely sought.
fn is_counted(word: &[u8]) -> bool {
    let is_part = matches!(word.len(), 4 | 8 | BEGINNING) && word.iter().all(u8::is_ascii_hexdigit);
    word.len() > 2 && !is_part && !word.iter().all(u8::is_ascii_digit)
}

/// FNV-1a of a word's beginning, in small letters.
fn hash(word: &[u8]) -> u64 {
    let beginning = word.iter().take(BEGINNING);
    beginning.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The bits of a word, from the two halves of its hash.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (first, step) = (mixed >> 32, (mixed & 0xffff_ffff) | 1);
    (0..PROBES).map(move |probe| {
        let bit = first.wrapping_add(probe.wrapping_mul(step)) % BITS;
        usize::try_from(bit).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use binauthz_wire::logging::Query;
    use proptest::prelude::*;

    use super::*;

    fn sought(filter: &str) -> Sought {
        Sought::new(&Query::parse(filter).unwrap().demand())
    }

    fn words(texts: &[&str]) -> Words {
        let mut words = Words::default();
        texts.iter().for_each(|text| words.add(text.as_bytes()));
        words
    }

    #[test]
    fn what_is_sought_is_told_from_what_is_not_there() {
        let digest = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
        let image = format!("us-docker.pkg.dev/acme/repository/app@sha256:{digest}");
        let there = words(&["payments", &image, "core/v1/namespaces/payments/pods/web-1"]);
        let other = words(&[
            "orders",
            "us-docker.pkg.dev/acme/other/app:latest",
            "core/v1/namespaces/orders/pods/x",
        ]);
        for filter in [
            r#"protoPayload.request.metadata.namespace="payments""#.to_owned(),
            r#"protoPayload.resourceName:"/payments/""#.to_owned(),
            format!("jsonPayload.imageName:\"sha256:{digest}\""),
            format!("\"{image}\""),
            r#"jsonPayload.imageName:"pkg.dev/acme/repository/app@""#.to_owned(),
            r#"labels.a="payments" OR labels.a="nowhere""#.to_owned(),
        ] {
            assert!(sought(&filter).may_be_in(&there), "{filter}");
            assert!(!sought(&filter).may_be_in(&other), "{filter}");
        }
        // Words that may begin before or end behind, and what is left out: nothing can be told.
        for filter in [
            r#""payments""#,
            r#"protoPayload.resourceName:"a/payments""#,
            r#"protoPayload.resourceName:"0000/12345678/123""#,
            r#"labels.a="12345""#,
            r#"labels.a="payments" OR severity=ERROR"#,
            "NOT labels.a=payments",
        ] {
            assert!(sought(filter).may_be_in(&Words::default()), "{filter}");
        }
    }

    #[test]
    fn a_query_without_end_is_asked_about_in_part() {
        let any =
            |count: usize| -> Vec<String> { (0..count).map(|n| format!("labels.a=word{n}x")).collect() };
        assert!(!sought(&any(MOST_TEXTS).join(" OR ")).may_be_in(&Words::default()));
        assert!(sought(&any(MOST_TEXTS + 1).join(" OR ")).may_be_in(&Words::default()));
        assert!(!sought(&any(MOST_TEXTS + 1).join(" AND ")).may_be_in(&Words::default()));
    }

    #[test]
    fn few_words_seem_known_that_are_not() {
        let mut words = Words::default();
        for number in 0..450_u32 {
            words.add(format!("word{number}x").as_bytes());
        }
        let unknown = (0..10_000_u32).filter(|number| words.has(hash(format!("other{number}y").as_bytes())));
        assert!(unknown.count() < 30);
        assert_eq!(Words::from_bytes(words.bytes()), Some(words));
        assert_eq!(Words::from_bytes(&[0; BYTES - 1]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn every_part_of_a_text_is_found_in_it(text in "[a-f0-9xé:/@-]{0,60}", from in 0_usize..60, length in 0_usize..60) {
            let characters: Vec<char> = text.chars().collect();
            let part: String = characters.iter().skip(from).take(length).collect();
            let there = words(&[&text]);
            let within = Sought::new(&Demand::Within(&part));
            prop_assert!(within.may_be_in(&there), "{} in {}", part, text);
            prop_assert!(Sought::new(&Demand::Is(&text)).may_be_in(&there), "{}", text);
        }
    }
}
