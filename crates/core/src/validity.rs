//! When what an attestor's key signs counts: from when, until when, and what becomes of it once somebody else may have the
//! key.
//!
//! The window is about the present: outside of it the key proves nothing, whenever it signed. A compromise is about the
//! past: a thief signs what they like and dates it as they like, so only the time at which an attestation was received
//! says on which side of the theft it lies, and nobody but the server sets that.

use crate::time::UnixTime;

/// When a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValidity {
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
    compromise: Option<Compromise>,
}

/// Since when somebody else may have had a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compromise {
    /// From this time on nothing by the key that was received counts.
    pub since: UnixTime,
    /// What becomes of that which was received before.
    pub earlier: Earlier,
}

/// What becomes of attestations that were received before a compromise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// They do not count either: nobody is sure of the time.
    Refused,
    /// They stay good.
    Kept,
}

/// The end of a window is not after its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key that ends before it begins would never count")]
pub struct EmptyWindow;

/// Why a key does not count for an attestation at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    /// Its window has not begun.
    #[error("is not valid yet")]
    NotYet,
    /// Its window is over.
    #[error("is not valid any more")]
    Over,
    /// It was received when somebody else may have had the key.
    #[error("is compromised, and the attestation was received after that")]
    Compromised,
    /// It was received before, and that is not enough.
    #[error("is compromised, and attestations received before that do not count either")]
    BeforeCompromise,
}

impl KeyValidity {
    /// A key that always counts.
    pub const ALWAYS: Self = Self {
        not_before: None,
        not_after: None,
        compromise: None,
    };

    /// A key that counts from `not_before` on, and no more at `not_after`.
    pub fn new(
        not_before: Option<UnixTime>,
        not_after: Option<UnixTime>,
        compromise: Option<Compromise>,
    ) -> Result<Self, EmptyWindow> {
        if let (Some(begin), Some(end)) = (not_before, not_after)
            && end <= begin
        {
            return Err(EmptyWindow);
        }
        Ok(Self {
            not_before,
            not_after,
            compromise,
        })
    }

    /// When its window begins.
    pub fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// When its window ends.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// Since when somebody else may have it.
    pub fn compromise(&self) -> Option<Compromise> {
        self.compromise
    }

    /// Until when the key counts for an attestation that was received at that time, if it counts now. One whose time is
    /// not known was received after everything.
    pub(crate) fn check(
        &self,
        received: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Untimely> {
        if self.not_before.is_some_and(|begin| now < begin) {
            return Err(Untimely::NotYet);
        }
        if self.not_after.is_some_and(|end| now >= end) {
            return Err(Untimely::Over);
        }
        if let Some(Compromise { since, earlier }) = self.compromise {
            match (received.is_some_and(|received| received < since), earlier) {
                (true, Earlier::Kept) => {}
                (true, Earlier::Refused) => return Err(Untimely::BeforeCompromise),
                (false, _) => return Err(Untimely::Compromised),
            }
        }
        Ok(self.not_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[test]
    fn a_window_has_its_beginning_and_not_its_end() {
        let window = KeyValidity::new(Some(at(10)), Some(at(20)), None).unwrap();
        let rows = [
            (9, Err(Untimely::NotYet)),
            (10, Ok(Some(at(20)))),
            (19, Ok(Some(at(20)))),
            (20, Err(Untimely::Over)),
            (i64::MAX, Err(Untimely::Over)),
        ];
        for (now, expected) in rows {
            // When it was received has nothing to do with it.
            for received in [None, Some(at(0)), Some(at(15)), Some(at(30))] {
                assert_eq!(window.check(received, at(now)), expected, "{now}");
            }
        }
        assert_eq!(KeyValidity::ALWAYS.check(None, at(0)), Ok(None));
        assert_eq!(
            KeyValidity::new(Some(at(10)), Some(at(10)), None),
            Err(EmptyWindow)
        );
        assert_eq!(
            KeyValidity::new(Some(at(10)), Some(at(9)), None),
            Err(EmptyWindow)
        );
    }

    #[test]
    fn what_came_after_a_compromise_never_counts_and_what_came_before_when_asked_for() {
        let marked = |earlier| {
            let compromise = Compromise {
                since: at(10),
                earlier,
            };
            KeyValidity::new(None, None, Some(compromise)).unwrap()
        };
        let rows = [
            (Some(9), Err(Untimely::BeforeCompromise), Ok(None)),
            (Some(10), Err(Untimely::Compromised), Err(Untimely::Compromised)),
            (Some(11), Err(Untimely::Compromised), Err(Untimely::Compromised)),
            (None, Err(Untimely::Compromised), Err(Untimely::Compromised)),
        ];
        for (received, refused, kept) in rows {
            let received = received.map(at);
            // Whatever the time is now.
            for now in [at(0), at(9), at(10), at(1_000)] {
                assert_eq!(
                    marked(Earlier::Refused).check(received, now),
                    refused,
                    "{received:?}"
                );
                assert_eq!(marked(Earlier::Kept).check(received, now), kept, "{received:?}");
            }
        }
    }
}
