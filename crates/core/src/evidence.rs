//! Questions and answers: what the shell must find out before a verdict.

use crate::attestation::{Attestation, Rejected, VerifiedAttestation, verify};
use crate::attestor::Attestor;
use crate::image::{Digest, PinnedImage};
use crate::name::{AttestorName, OccurrenceName};
use crate::time::UnixTime;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Has this attestor vouched for this image?
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The attestor asked about.
    pub attestor: &'a Arc<Attestor>,
    /// The image.
    pub image: &'a PinnedImage,
}

/// What was found. Not knowing is an answer, never an early return.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The evidence was looked at.
    Found(Arc<Evidence>),
    /// It could not be looked at, and why.
    Unavailable(String),
    /// There was no time left to look.
    Deadline,
}

/// What the attestations of one digest on one note prove for one attestor.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The proofs.
    pub proofs: Vec<VerifiedAttestation>,
    /// The attestations that prove nothing, and why.
    pub rejected: Vec<(OccurrenceName, Rejected)>,
}

impl Evidence {
    /// Whether something was proven once and all of it has ended by itself. Another attestation may still be good, so
    /// this is to be looked at again and is no answer.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        !self.proofs.is_empty() && self.proofs.iter().all(|proof| proof.has_ended(now))
    }
}

/// Signatures checked for one answer. The slowest takes 0.6 ms, and the last attestation may bring 64 of them:
/// (199 + 64) × 0.6 ms = 0.16 s.
pub const MAX_CHECKS: usize = 200;
/// Rejections told; the answer is kept in memory, and a person reads the first.
const MAX_REJECTED: usize = 16;

/// Looks at the attestations of one digest for one attestor. Show it the newest first.
///
/// An attestation counts against [`MAX_CHECKS`] by its signatures that name a key of the attestor. One that names
/// foreign keys only costs nothing, so that nobody hides a good attestation behind a heap of their own.
#[derive(Debug)]
pub struct Examination {
    attestor: Arc<Attestor>,
    digest: Digest,
    now: UnixTime,
    checks: usize,
    evidence: Evidence,
    /// Of attestations that name none of the attestor's keys.
    foreign: Vec<(OccurrenceName, Rejected)>,
}

/// Whether more attestations are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Yes.
    GoOn,
    /// What was found suffices.
    Enough,
    /// [`MAX_CHECKS`] are used up.
    TooMany,
}

impl Next {
    /// What is not known when it ends here.
    pub fn gap(self) -> Option<String> {
        match self {
            Self::GoOn | Self::Enough => None,
            Self::TooMany => Some(format!(
                "{MAX_CHECKS} signatures by keys of the attestor were checked, and none is good"
            )),
        }
    }
}

impl Examination {
    /// Nothing looked at yet.
    pub fn new(attestor: Arc<Attestor>, digest: Digest, now: UnixTime) -> Self {
        Self {
            attestor,
            digest,
            now,
            checks: 0,
            evidence: Evidence::default(),
            foreign: Vec::new(),
        }
    }

    /// Checks one attestation.
    pub fn look_at(&mut self, attestation: &Attestation) -> Next {
        let checks = attestation.signatures_naming_a_key_of(&self.attestor);
        self.checks = self.checks.saturating_add(checks);
        let why = match verify(attestation, &self.attestor, self.now) {
            Ok(proof) if *proof.digest() == self.digest => {
                self.evidence.proofs.push(proof);
                // One is enough, unless each counts for the repository it names only.
                if !self.attestor.match_identity() {
                    return Next::Enough;
                }
                return self.next();
            }
            Ok(proof) => Rejected::OtherDigest(*proof.digest()),
            Err(why) => why,
        };
        let list = if checks == 0 {
            &mut self.foreign
        } else {
            &mut self.evidence.rejected
        };
        if list.len() < MAX_REJECTED {
            list.push((attestation.occurrence().clone(), why));
        }
        self.next()
    }

    fn next(&self) -> Next {
        if self.checks < MAX_CHECKS {
            Next::GoOn
        } else {
            Next::TooMany
        }
    }

    /// What was found; where nothing was proven and `gap` says that something was not looked at, that it is not known.
    pub fn answer(self, gap: Option<String>) -> Answer {
        match gap {
            Some(why) if self.evidence.proofs.is_empty() => Answer::Unavailable(why),
            _ => Answer::Found(Arc::new(self.finish())),
        }
    }

    /// What was found. Signatures by the attestor's own keys say more about what went wrong, so they come first.
    pub fn finish(self) -> Evidence {
        let Self {
            mut evidence,
            foreign,
            ..
        } = self;
        let room = MAX_REJECTED.saturating_sub(evidence.rejected.len());
        evidence.rejected.extend(foreign.into_iter().take(room));
        evidence
    }
}

/// The answers to a plan's questions.
#[derive(Debug, Default)]
pub struct Answers {
    by_question: BTreeMap<(AttestorName, Digest), Answer>,
}

impl Answers {
    /// No answers: everything asked about is denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the answer to a question.
    pub fn insert(&mut self, question: &Question<'_>, answer: Answer) {
        self.by_question.insert(
            (question.attestor.name().clone(), *question.image.digest()),
            answer,
        );
    }

    pub(crate) fn to(&self, attestor: &Attestor, image: &PinnedImage) -> Option<&Answer> {
        self.by_question.get(&(attestor.name().clone(), *image.digest()))
    }
}
