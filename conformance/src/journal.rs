//! The verdict log as it lies on the disk, read from where it was left.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A reader that goes on.
pub struct Journal {
    folder: PathBuf,
    segment: u64,
    offset: usize,
}

impl Journal {
    /// From the first segment on.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            segment: 1,
            offset: 0,
        }
    }

    /// The records that came since the last time, without what the log says of itself.
    pub fn news(&mut self) -> Vec<Value> {
        let mut records = Vec::new();
        loop {
            let path = |number: u64| self.folder.join(format!("segment-{number:010}.jsonl"));
            let bytes = std::fs::read(path(self.segment)).expect("the segment can be read");
            let new = bytes.get(self.offset..).expect("a log never gets shorter");
            // Behind the records there is room for more.
            let written = new.iter().position(|byte| *byte == 0).unwrap_or(new.len());
            let whole = new
                .get(..written)
                .unwrap_or_default()
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |last| last + 1);
            let lines = new.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                let record: Value = serde_json::from_slice(line).expect("every line is JSON");
                if record["log"] != "segment" && record["log"] != "checkpoint" {
                    records.push(record);
                }
            }
            self.offset += whole;
            if !path(self.segment + 1).exists() {
                return records;
            }
            self.segment += 1;
            self.offset = 0;
        }
    }
}
