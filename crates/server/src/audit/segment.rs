//! Segment files: names, order, the repair of a torn end, and appending at the price of one write to the disk.
//!
//! A file that grows with every record makes the file system write its own journal at every sync, which costs more than
//! the record. So zeros are written ahead of the records, in large pieces and on another thread, and the records are
//! written over them past the page cache: what is left of a sync is one write. While a segment is being written it ends
//! in zeros; a reader stops at the first one. A segment that is left is cut to its records.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;

use super::aligned::{Aligned, BLOCK};

/// Written ahead at first: 64 KiB, some 30 verdicts, before the first of them.
const FIRST_RESERVE: u64 = 64 << 10;
/// Written ahead at a time: 2 MiB, some 1 000 verdicts. Many small pieces would cost more than they save.
const RESERVE: u64 = 2 << 20;
/// What one batch can leave half-written: 512 records of 16 KiB each, and what links them.
const LONGEST_BATCH: u64 = 9 << 20;

/// `segment-0000000042.jsonl`: fixed width, so that names sort as numbers.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:010}.jsonl"))
}

/// The numbers of the segments in `folder`, oldest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("segment-")?.strip_suffix(".jsonl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// All whole records of a segment.
pub(super) fn read(folder: &Path, number: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path(folder, number))?;
    let size = file.metadata()?.len();
    let end = records_end(&file, size)?;
    let mut records = vec![0; usize::try_from(end).unwrap_or(0)];
    file.read_exact_at(&mut records, 0)?;
    Ok(records)
}

/// A segment open for appending.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// How many of its bytes are whole records.
    pub(super) length: u64,
    file: Arc<File>,
    /// There is room on the disk up to here.
    reserved: u64,
    reserving: Option<JoinHandle<io::Result<u64>>>,
    /// The records of the last, partly filled block: they are written again with what follows them.
    buffer: Aligned,
}

impl Segment {
    /// Opens (or makes) a segment and cuts off what a crash left unfinished.
    pub(super) fn open(folder: &Path, number: u64) -> io::Result<Self> {
        let path = path(folder, number);
        let existed = path.exists();
        let plain = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        if !existed {
            // The name itself must survive a crash too.
            File::open(folder)?.sync_all()?;
        }
        let size = plain.metadata()?.len();
        let length = records_end(&plain, size)?;
        if length < size {
            plain.set_len(length)?;
            plain.sync_all()?;
        }
        let mut buffer = Aligned::default();
        let mut last = vec![0; usize::try_from(length % BLOCK as u64).unwrap_or(0)];
        let block = length - last.len() as u64;
        plain.read_exact_at(&mut last, block)?;
        buffer.push(&last);
        let mut segment = Self {
            number,
            length,
            file: Arc::new(direct(&path).unwrap_or(plain)),
            reserved: length,
            reserving: None,
            buffer,
        };
        if let Err(error) = segment.reserve(length + FIRST_RESERVE)
            && error.kind() == ErrorKind::InvalidInput
        {
            // A file system that takes the flag and not the writes.
            segment.file = Arc::new(OpenOptions::new().write(true).open(&path)?);
        }
        Ok(segment)
    }

    /// Appends whole lines. When it returns, they are on disk.
    ///
    /// # Errors
    /// The system's. Then nobody knows what the disk has of these lines, and the segment must be left.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let from = self.length - self.buffer.len() as u64;
        self.buffer.push(lines);
        let padded = self.buffer.padded().len() as u64;
        self.make_room(from + padded)?;
        self.file.write_all_at(self.buffer.padded(), from)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        self.buffer.keep_last_block();
        self.reserve_ahead();
        Ok(())
    }

    /// Cuts the file back to its whole records, as far as the disk still lets us.
    pub(super) fn cut(&mut self) {
        if let Some(reserving) = self.reserving.take() {
            let _ = reserving.join();
        }
        let _ = self.file.set_len(self.length);
    }

    fn make_room(&mut self, end: u64) -> io::Result<()> {
        // Whoever makes room is waited for and never let go: it would write its zeros over records that came meanwhile.
        if end > self.reserved
            && let Some(reserving) = self.reserving.take()
        {
            self.reserved = reserving
                .join()
                .map_err(|_| io::Error::other("the thread that reserves room panicked"))??;
        }
        if end > self.reserved {
            self.reserve(end)?;
        }
        Ok(())
    }

    fn reserve(&mut self, end: u64) -> io::Result<()> {
        self.reserved = write_zeros(&self.file, self.reserved, end)?;
        Ok(())
    }

    /// Has room made in time, so that no record waits for it.
    fn reserve_ahead(&mut self) {
        if let Some(done) = self.reserving.take_if(|thread| thread.is_finished()) {
            // What went wrong will go wrong again when the room is needed.
            if let Ok(Ok(end)) = done.join() {
                self.reserved = end;
            }
        }
        if self.reserving.is_none()
            && self.length > FIRST_RESERVE / 2
            && self.reserved < self.length + RESERVE / 2
        {
            let (file, from) = (Arc::clone(&self.file), self.reserved);
            self.reserving = std::thread::Builder::new()
                .name("journal-reserve".to_owned())
                .spawn(move || write_zeros(&file, from, from + RESERVE))
                .ok();
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The file, written past the page cache where that is possible.
#[cfg(target_os = "linux")]
fn direct(path: &Path) -> Option<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .ok()
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &Path) -> Option<File> {
    None
}

/// Writes zeros from about `from` to at least `end`, waits for the disk, and says how far they go.
fn write_zeros(file: &File, from: u64, end: u64) -> io::Result<u64> {
    static ZEROS: LazyLock<Aligned> = LazyLock::new(|| Aligned::zeros(RESERVE as usize));
    let mut at = from.next_multiple_of(BLOCK as u64);
    let end = end.next_multiple_of(BLOCK as u64);
    while at < end {
        let piece = (end - at).min(RESERVE);
        file.write_all_at(&ZEROS.bytes()[..piece as usize], at)?;
        at += piece;
    }
    file.sync_data()?;
    Ok(at)
}

/// Where the whole records end: at a line end, before the first zero. The blocks of a batch that was never finished may
/// have reached the disk in any order, so the zero that counts may lie before records; never farther back than a batch.
fn records_end(file: &File, size: u64) -> io::Result<u64> {
    let written = last_matching(file, size, |byte| byte != 0)?;
    let window = written.saturating_sub(LONGEST_BATCH + BLOCK as u64);
    let mut bytes = vec![0; usize::try_from(written - window).unwrap_or(0)];
    file.read_exact_at(&mut bytes, window)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .map_or(written, |zero| window + zero as u64);
    last_matching(file, end, |byte| byte == b'\n')
}

/// The offset behind the last byte before `end` that is wanted.
fn last_matching(file: &File, mut end: u64, wanted: impl Fn(u8) -> bool) -> io::Result<u64> {
    let mut block = vec![0_u8; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| wanted(*byte)) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two that made room at once wrote zeros over each other's records.
    #[test]
    fn one_makes_room_at_a_time_and_no_record_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::open(folder.path(), 1).unwrap();
        let mut expected = Vec::new();
        let maker = |segment: &Segment| segment.reserving.as_ref().map(|thread| thread.thread().id());
        for number in 0..4_000_u32 {
            let line = format!("{number:>8} {}\n", "x".repeat((number % 1_500) as usize));
            let before = (maker(&segment), segment.reserved);
            segment.append(line.as_bytes()).unwrap();
            expected.extend_from_slice(line.as_bytes());
            if before.0.is_some() && segment.reserved == before.1 {
                assert_eq!(maker(&segment), before.0, "another one began at record {number}");
            }
        }
        assert_eq!(read(folder.path(), 1).unwrap(), expected);
        drop(segment);
        assert_eq!(std::fs::read(path(folder.path(), 1)).unwrap(), expected);
    }
}
