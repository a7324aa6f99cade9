//! How far a reader of the journals has come, as it is kept from one process to the next.

use serde::{Deserialize, Serialize};

use super::Journals;
use crate::app::App;
use crate::audit::{Journal, Position};

/// A place in both journals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) verdicts: Position,
    pub(crate) written: Position,
}

impl Reached {
    /// Where both end now. Looks at memory only.
    pub(crate) fn ends(app: &App) -> Reached {
        Reached {
            verdicts: app.journal.end(),
            written: app.entries.end(),
        }
    }

    /// In each journal the later of two places.
    pub(crate) fn max(self, other: Reached) -> Reached {
        Reached {
            verdicts: self.verdicts.max(other.verdicts),
            written: self.written.max(other.written),
        }
    }
}

/// A place in both journals, as it is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    verdicts: Mark,
    written: Mark,
}

impl Cursor {
    pub(crate) fn new(journals: &Journals, at: Reached) -> Cursor {
        Cursor {
            verdicts: Mark::new(&journals.verdicts.journal, at.verdicts),
            written: Mark::new(&journals.written.journal, at.written),
        }
    }

    /// The place; in a journal that is another one than was read, its beginning.
    pub(crate) fn place(&self, journals: &Journals) -> Reached {
        Reached {
            verdicts: self.verdicts.place(&journals.verdicts.journal),
            written: self.written.place(&journals.written.journal),
        }
    }
}

/// A place in one journal. Another log in the same folder has another key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    log: String,
    segment: u64,
    offset: u64,
}

impl Mark {
    fn new(journal: &Journal, at: Position) -> Mark {
        Mark {
            log: journal.verifier_key().to_owned(),
            segment: at.segment,
            offset: at.offset,
        }
    }

    fn place(&self, journal: &Journal) -> Position {
        let at = Position {
            segment: self.segment,
            offset: self.offset,
        };
        if self.log == journal.verifier_key() && at <= journal.end() {
            return at;
        }
        tracing::warn!("a log is another one than was read before: it is read from its beginning");
        Position::default()
    }
}

#[cfg(test)]
mod tests {
    use binauthz_keyring::MasterKey;

    use super::*;
    use crate::audit::JournalSettings;

    #[tokio::test]
    async fn a_place_is_one_of_the_log_it_was_taken_of() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::new(&[7; MasterKey::BYTES]).unwrap();
        let open = |name: &str| {
            Journal::open(&folder.path().join(name), JournalSettings::default(), &master).unwrap()
        };
        let (journal, other) = (open("one"), open("other"));
        for journal in [&journal, &other] {
            journal.append(b"{\"n\":1}".to_vec()).await.unwrap();
        }
        let end = journal.end();
        let mark = Mark::new(&journal, end);
        assert_eq!(mark.place(&journal), end);
        // Another log in its place is read as a whole, and so is one that is shorter than what was seen of it.
        assert_eq!(mark.place(&other), Position::default());
        let beyond = Position {
            offset: end.offset + 1,
            ..end
        };
        assert_eq!(Mark::new(&journal, beyond).place(&journal), Position::default());
    }
}
