//! How much is kept of what is recorded.

use std::time::Duration;

use super::InvalidSettings;

/// How much of a journal is kept, in whole segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub(super) mebibytes: u32,
    pub(super) days: u32,
}

impl Retention {
    /// Of verdicts and calls, where nothing was chosen: some two million verdicts, and 400 days as Google keeps its audit.
    pub(crate) const VERDICTS: Self = Self {
        mebibytes: 4_096,
        days: 400,
    };
    /// Of entries that others wrote.
    pub(crate) const ENTRIES: Self = Self {
        mebibytes: 1_024,
        days: 30,
    };
    /// One segment, which is what is removed at a time, to 16 TiB.
    const MEBIBYTES: (u32, u32) = (64, 16 << 20);
    /// A day to ten years.
    const DAYS: (u32, u32) = (1, 3_650);

    pub(super) fn chosen(
        keys: [&'static str; 2],
        given: [Option<u32>; 2],
        default: Self,
    ) -> Result<Self, InvalidSettings> {
        let within = |key, value, (least, most)| match value {
            value if (least..=most).contains(&value) => Ok(value),
            value => Err(InvalidSettings::OutOfRange {
                key,
                value,
                least,
                most,
            }),
        };
        let [mebibytes, days] = given;
        Ok(Self {
            mebibytes: within(keys[0], mebibytes.unwrap_or(default.mebibytes), Self::MEBIBYTES)?,
            days: within(keys[1], days.unwrap_or(default.days), Self::DAYS)?,
        })
    }

    /// Bytes of sealed segments.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.mebibytes) << 20
    }

    /// Since a segment was written last.
    pub(crate) fn time(self) -> Duration {
        Duration::from_secs(u64::from(self.days) * 24 * 3_600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Flags, Settings};

    #[test]
    fn what_is_kept_of_a_journal_has_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binauthz.yaml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Settings::new(Flags {
                dev: true,
                config: Some(path.clone()),
                ..Flags::default()
            })
        };
        let settings = read("journalKeepMebibytes: 64\nentriesKeepDays: 3650\n").unwrap();
        let (journal, entries) = (settings.journal_kept, settings.entries_kept);
        assert_eq!(journal.bytes(), 64 << 20);
        assert_eq!(journal.time(), Retention::VERDICTS.time());
        assert_eq!(entries.bytes(), Retention::ENTRIES.bytes());
        assert_eq!(entries.time(), Duration::from_secs(3_650 * 86_400));
        for (key, value, expected) in [
            ("journalKeepMebibytes", "63", "expected 64 to 16777216"),
            ("entriesKeepMebibytes", "16777217", "expected 64 to 16777216"),
            ("journalKeepDays", "0", "expected 1 to 3650"),
            ("entriesKeepDays", "3651", "expected 1 to 3650"),
        ] {
            let error = read(&format!("{key}: {value}")).unwrap_err().to_string();
            assert_eq!(error, format!("`{key}` is {value}, {expected}"));
        }
    }
}
