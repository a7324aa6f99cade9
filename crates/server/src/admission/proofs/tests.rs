use std::sync::atomic::{AtomicUsize, Ordering};

use binauthz_core::attestation::{Attestation, Signature};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::evidence::{Examination, Next};
use binauthz_core::key::PublicKey;
use binauthz_core::signature::pgp::Certificate;
use tokio::sync::oneshot;

use super::*;

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

fn key(first_byte: u8, number: u8) -> ProofKey {
    let mut bytes = [number; 32];
    bytes[0] = first_byte;
    ProofKey {
        attestor: "projects/p/attestors/a".parse().unwrap(),
        revision: 7,
        note: "projects/p/notes/n".parse().unwrap(),
        digest: Digest::from_bytes(bytes),
    }
}

macro_rules! pgp {
    ($file:literal) => {
        include_str!(concat!("../../../../core/tests/fixtures/pgp/", $file))
    };
}

/// When the shorter of two signatures by one key ends: 365 days after 2026-02-01.
const END: UnixTime = UnixTime::from_seconds(1_801_440_000);

/// What an attestation with this signature proves at [`NOW`].
fn proven(message: &str) -> Answer {
    let certificate = Certificate::from_armored(pgp!("attached/key.asc")).unwrap();
    let key_id = certificate.fingerprint().to_owned();
    let keys = vec![AttestorKey::new("", "", PublicKey::Pgp(Box::new(certificate)))];
    let note: NoteName = "projects/p/notes/n".parse().unwrap();
    let attestor = Attestor::new("projects/p/attestors/a".parse().unwrap(), note.clone(), keys, 7).unwrap();
    let payload = pgp!("payload.json").as_bytes().to_vec();
    let digest = binauthz_core::payload::unverified_digest(&payload).unwrap();
    let signature = Signature {
        key_id,
        bytes: message.as_bytes().to_vec(),
    };
    let name = "projects/p/occurrences/o".parse().unwrap();
    let mut examination = Examination::new(Arc::new(attestor), digest, NOW);
    let attestation = Attestation::claimed(name, note, payload, vec![signature]);
    assert_eq!(examination.look_at(&attestation), Next::Enough);
    Answer::Found(Arc::new(examination.finish()))
}

fn before(time: UnixTime) -> UnixTime {
    UnixTime::from_micros(time.as_micros() - 1)
}

#[tokio::test]
async fn what_ends_by_itself_is_known_until_then_and_looked_at_again_after() {
    let proofs = Proofs::new();
    let ends = proven(pgp!("signature-expires-later/message.asc"));
    proofs.learn(key(1, 1), NOW, async { ends }).await;
    assert!(proofs.known(&key(1, 1), before(END)).is_some());
    assert!(proofs.known(&key(1, 1), END).is_none());
    // The next one found in its place stays, and so does that there is none.
    let lasting = proven(pgp!("attached/message.asc"));
    assert!(is_found(&proofs.learn(key(1, 1), END, async { lasting }).await));
    let found = proofs.known(&key(1, 1), END).unwrap();
    assert_eq!(found.proofs[0].until(), None);
}

#[tokio::test]
async fn what_ended_and_was_not_replaced_is_not_asked_about_without_pause() {
    let proofs = Proofs::new();
    let ends = proven(pgp!("signature-expires-later/message.asc"));
    proofs.learn(key(1, 1), NOW, async { ends }).await;
    proofs.learn(key(1, 1), END, async { nothing_proven() }).await;
    let found = proofs.known(&key(1, 1), END).unwrap();
    assert!(found.proofs.is_empty());
    assert_eq!(proofs.len(), (0, 1), "one entry, and it is the new one");
}

fn nothing_proven() -> Answer {
    Answer::Found(Arc::new(Evidence::default()))
}

fn is_found(answer: &Answer) -> bool {
    matches!(answer, Answer::Found(_))
}

#[tokio::test]
async fn what_was_learned_is_known_until_it_is_forgotten() {
    let proofs = Proofs::new();
    let (ours, other) = (key(1, 1), key(1, 2));
    for key in [&ours, &other] {
        assert!(is_found(
            &proofs.learn(key.clone(), NOW, async { nothing_proven() }).await
        ));
    }
    assert!(proofs.known(&ours, NOW).is_some());
    proofs.invalidate(&ours.note, &ours.digest);
    assert!(proofs.known(&ours, NOW).is_none());
    assert!(
        proofs.known(&other, NOW).is_some(),
        "only what was said to have changed"
    );
}

#[tokio::test]
async fn another_revision_note_attestor_or_digest_is_another_key() {
    let proofs = Proofs::new();
    let known = key(1, 1);
    proofs.learn(known.clone(), NOW, async { nothing_proven() }).await;
    let others = [
        ProofKey {
            revision: 8,
            ..known.clone()
        },
        ProofKey {
            note: "projects/p/notes/m".parse().unwrap(),
            ..known.clone()
        },
        ProofKey {
            attestor: "projects/q/attestors/a".parse().unwrap(),
            ..known.clone()
        },
        key(1, 3),
    ];
    for other in others {
        assert!(proofs.known(&other, NOW).is_none(), "{other:?}");
    }
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let proofs = Proofs::new();
    let failed = proofs
        .learn(key(1, 1), NOW, async { Answer::Unavailable("down".to_owned()) })
        .await;
    assert!(matches!(failed, Answer::Unavailable(_)));
    assert!(proofs.known(&key(1, 1), NOW).is_none());
    assert!(
        is_found(&proofs.learn(key(1, 1), NOW, async { nothing_proven() }).await),
        "tried again"
    );
}

#[tokio::test]
async fn nothing_proven_is_looked_at_again_after_its_time() {
    let proofs = Proofs::new();
    proofs.learn(key(1, 1), NOW, async { nothing_proven() }).await;
    let later = UnixTime::from_micros(NOW.as_micros() + UNPROVEN_LIFETIME_MICROS);
    assert!(proofs.known(&key(1, 1), later).is_none());
    let before = UnixTime::from_micros(NOW.as_micros() - 1);
    assert!(
        proofs.known(&key(1, 1), before).is_none(),
        "a clock that went back does not prolong it"
    );
}

#[tokio::test]
async fn a_reading_begun_before_a_change_is_neither_kept_nor_joined() {
    let proofs = Arc::new(Proofs::new());
    let (release, released) = oneshot::channel::<()>();
    let (started, begun) = oneshot::channel::<()>();
    let old = tokio::spawn({
        let proofs = Arc::clone(&proofs);
        async move {
            let read = async {
                started.send(()).unwrap();
                released.await.unwrap();
                nothing_proven()
            };
            proofs.learn(key(1, 1), NOW, read).await
        }
    });
    begun.await.unwrap();
    proofs.invalidate(&key(1, 1).note, &key(1, 1).digest);
    // A question after the change has a reading of its own although the old one is still under way.
    let fresh = proofs
        .learn(key(1, 1), NOW, async { Answer::Unavailable("fresh".to_owned()) })
        .await;
    assert!(matches!(fresh, Answer::Unavailable(why) if why == "fresh"));
    release.send(()).unwrap();
    assert!(
        is_found(&old.await.unwrap()),
        "who asked before the change gets the answer of before"
    );
    assert!(proofs.known(&key(1, 1), NOW).is_none(), "but it is not kept");
}

#[tokio::test]
async fn questions_at_the_same_time_share_one_reading() {
    let proofs = Arc::new(Proofs::new());
    let readings = Arc::new(AtomicUsize::new(0));
    let (release, released) = tokio::sync::watch::channel(false);
    let mut askers = Vec::new();
    for _ in 0..50 {
        let (proofs, readings, mut released) = (Arc::clone(&proofs), Arc::clone(&readings), released.clone());
        askers.push(tokio::spawn(async move {
            let read = async {
                readings.fetch_add(1, Ordering::SeqCst);
                released.wait_for(|go| *go).await.unwrap();
                nothing_proven()
            };
            proofs.learn(key(1, 1), NOW, read).await
        }));
    }
    // One turn of the scheduler: everybody has asked.
    tokio::task::yield_now().await;
    release.send(true).unwrap();
    for asker in askers {
        assert!(is_found(&asker.await.unwrap()));
    }
    assert_eq!(readings.load(Ordering::SeqCst), 1);
    assert!(
        proofs
            .shards
            .iter()
            .all(|shard| shard.lock().unwrap().flights.is_empty())
    );
}

#[tokio::test]
async fn a_cancelled_reading_leaves_nothing_behind() {
    let proofs = Proofs::new();
    let never = proofs.learn(key(1, 1), NOW, std::future::pending());
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(1), never)
            .await
            .is_err()
    );
    assert!(
        proofs
            .shards
            .iter()
            .all(|shard| shard.lock().unwrap().flights.is_empty())
    );
    assert!(is_found(
        &proofs.learn(key(1, 1), NOW, async { nothing_proven() }).await
    ));
}

#[tokio::test]
async fn digests_nobody_attested_have_a_bound_of_their_own() {
    let proofs = Proofs::new();
    for number in 0..=255 {
        for first_byte in [0, 64] {
            proofs
                .learn(key(first_byte, number), NOW, async { nothing_proven() })
                .await;
        }
    }
    assert_eq!(proofs.len(), (0, UNPROVEN_PER_SHARD));
}
