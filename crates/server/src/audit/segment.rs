//! Segment files: names, order, and the repair of a torn end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// `verdicts-0000000042.jsonl`: fixed width, so that names sort as numbers.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("verdicts-{number:010}.jsonl"))
}

/// The numbers of the segments in `folder`, oldest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("verdicts-")?.strip_suffix(".jsonl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment open for appending, and how many of its bytes are whole records.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: File,
    pub(super) length: u64,
}

impl Segment {
    /// Opens (or makes) a segment and cuts off a line that a crash left unfinished.
    pub(super) fn open(folder: &Path, number: u64) -> io::Result<Self> {
        let path = path(folder, number);
        let existed = path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        if !existed {
            // The name itself must survive a crash too.
            File::open(folder)?.sync_all()?;
        }
        let size = file.metadata()?.len();
        let length = whole_lines(&mut file, size)?;
        if length < size {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Self { number, file, length })
    }
}

/// The length of the file up to and with its last line end.
fn whole_lines(file: &mut File, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut block = [0_u8; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = usize::try_from(end - start).unwrap_or(block.len());
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block[..part])?;
        if let Some(at) = block[..part].iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
