//! Questions and answers: what the shell must find out before a verdict.

use crate::attestation::{Rejected, VerifiedAttestation};
use crate::attestor::Attestor;
use crate::image::{Digest, PinnedImage};
use crate::name::{AttestorName, OccurrenceName};
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
