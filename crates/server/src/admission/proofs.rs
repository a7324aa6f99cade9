//! Evidence that was verified before: the reason a warm decision touches neither database nor signature code.
//!
//! An entry holds what one note's attestations of one digest prove for one attestor at one revision. Changing the
//! attestor makes another key; adding or deleting an occurrence calls [`Proofs::invalidate`] after its commit and
//! before its answer. Two rules keep an old reading from outliving that call: a reading that began before it is not
//! inserted (the epoch), and nobody who asks after it joins a reading that began before it (the flights are dropped).
//! A proof that ends by itself, with its key or its signature, takes its entry with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use binauthz_core::evidence::{Answer, Evidence, Question};
use binauthz_core::image::Digest;
use binauthz_core::name::{AttestorName, NoteName};
use binauthz_core::time::UnixTime;
use tokio::sync::OnceCell;

use super::clock_cache::ClockCache;

/// One lock each, chosen by the digest.
const SHARDS: usize = 64;
/// 64 × 1 024 = 65 536 proven (image, attestor) pairs of about 0.8 KB each: 52 MB when full.
const PROVEN_PER_SHARD: usize = 1_024;
/// Whoever may create Pods can ask about digests nobody attested, so those never push out proofs: 64 × 64 = 4 096.
const UNPROVEN_PER_SHARD: usize = 64;
/// A key that is not valid yet becomes so without anybody telling us.
const UNPROVEN_LIFETIME_MICROS: i64 = 30_000_000;

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProofKey {
    attestor: AttestorName,
    revision: u64,
    note: NoteName,
    digest: Digest,
}

impl ProofKey {
    pub(crate) fn of(question: &Question<'_>) -> Self {
        Self {
            attestor: question.attestor.name().clone(),
            revision: question.attestor.revision(),
            note: question.attestor.note().clone(),
            digest: *question.image.digest(),
        }
    }

    fn is_about(&self, note: &NoteName, digest: &Digest) -> bool {
        self.digest == *digest && self.note == *note
    }
}

/// The cache. Share it in an `Arc`.
#[derive(Debug)]
pub(crate) struct Proofs {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug)]
struct Shard {
    epoch: u64,
    proven: ClockCache<ProofKey, Arc<Evidence>>,
    unproven: ClockCache<ProofKey, (Arc<Evidence>, UnixTime)>,
    flights: HashMap<ProofKey, Flight>,
}

/// A reading that is under way; everybody who asks meanwhile waits for it.
type Flight = Arc<OnceCell<Answer>>;

impl Proofs {
    pub(crate) fn new() -> Self {
        let shard = || Shard {
            epoch: 0,
            proven: ClockCache::new(PROVEN_PER_SHARD),
            unproven: ClockCache::new(UNPROVEN_PER_SHARD),
            flights: HashMap::new(),
        };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
        }
    }

    /// What is known already.
    pub(crate) fn known(&self, key: &ProofKey, now: UnixTime) -> Option<Arc<Evidence>> {
        self.shard(&key.digest).known(key, now)
    }

    /// What is known already, or what `read` finds out. Callers with the same key share one reading.
    pub(crate) async fn learn<F>(&self, key: ProofKey, now: UnixTime, read: F) -> Answer
    where
        F: Future<Output = Answer>,
    {
        let (flight, epoch) = {
            let mut shard = self.shard(&key.digest);
            if let Some(evidence) = shard.known(&key, now) {
                return Answer::Found(evidence);
            }
            (
                Arc::clone(shard.flights.entry(key.clone()).or_default()),
                shard.epoch,
            )
        };
        let landing = Landing {
            proofs: self,
            key,
            flight,
        };
        let answer = landing.flight.get_or_init(|| read).await.clone();
        if let Answer::Found(evidence) = &answer {
            self.shard(&landing.key.digest)
                .insert(&landing.key, evidence, epoch, now);
        }
        answer
    }

    /// Forgets what is known of a digest on a note. Call it after the commit that changed its occurrences and before
    /// that call is answered.
    pub(crate) fn invalidate(&self, note: &NoteName, digest: &Digest) {
        let mut shard = self.shard(digest);
        shard.epoch += 1;
        let other = |key: &ProofKey| !key.is_about(note, digest);
        shard.proven.retain(other);
        shard.unproven.retain(other);
        shard.flights.retain(|key, _| other(key));
    }

    /// Forgets everything: nobody says which occurrences changed.
    pub(crate) fn forget(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.epoch += 1;
            shard.proven.retain(|_| false);
            shard.unproven.retain(|_| false);
            shard.flights.clear();
        }
    }

    /// Entries held, proven and unproven.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(proven, unproven), shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            (proven + shard.proven.len(), unproven + shard.unproven.len())
        })
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        let index = usize::from(digest.as_bytes()[0]) % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn known(&mut self, key: &ProofKey, now: UnixTime) -> Option<Arc<Evidence>> {
        // What has ended is not known: another attestation of the image may be good for longer.
        if let Some(evidence) = self.proven.read(key).filter(|evidence| !evidence.has_ended(now)) {
            return Some(Arc::clone(evidence));
        }
        let (evidence, since) = self.unproven.read(key)?;
        let age = now.as_micros().saturating_sub(since.as_micros());
        (0..UNPROVEN_LIFETIME_MICROS)
            .contains(&age)
            .then(|| Arc::clone(evidence))
    }

    fn insert(&mut self, key: &ProofKey, evidence: &Arc<Evidence>, epoch: u64, now: UnixTime) {
        if self.epoch != epoch {
            return;
        }
        if evidence.proofs.is_empty() {
            self.proven.remove(key);
            self.unproven.insert(key.clone(), (Arc::clone(evidence), now));
        } else {
            self.unproven.remove(key);
            self.proven.insert(key.clone(), Arc::clone(evidence));
        }
    }
}

/// Takes the flight off the board when its last passenger leaves, also when that one was cancelled.
struct Landing<'a> {
    proofs: &'a Proofs,
    key: ProofKey,
    flight: Flight,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut shard = self.proofs.shard(&self.key.digest);
        let ours = shard
            .flights
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // Two: the board's and ours. A finished flight goes at once, so that a failure is tried again.
        if ours && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            shard.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
