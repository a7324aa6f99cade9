//! The blocks of a sealed segment as a file beside it. A file is believed only if it is whole, of this segment, and made
//! by a server that renders records as this one does; else it is made anew.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::super::entries_of;
use super::super::record::glance;
use super::super::shape::{Shape, Shapes};
use super::super::words::{BYTES, Words};
use super::block::{BLOCK, Block};

const MAGIC: &[u8] = b"binauthz index 1\n";
/// SHA-256.
const HASH: usize = 32;
/// The end of a segment is a signed checkpoint, which no other segment has.
const TAIL: u64 = 256;
/// Start, end, oldest, newest, shapes, words.
const ROW: usize = 4 * 8 + 16 + BYTES;

/// `segment-0000000042.index`
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:010}.index"))
}

/// The number of the segment that an index file belongs to.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?
        .strip_suffix(".index")?
        .parse()
        .ok()
}

/// Writes the blocks of a segment. Readers see the whole file or none.
pub(super) fn write(folder: &Path, (number, segment): (u64, &File), blocks: &[Block]) -> io::Result<()> {
    let length = blocks.last().map_or(0, |block| block.bytes.end);
    let mut bytes = head(segment, length)?;
    for block in blocks {
        for number in [block.bytes.start, block.bytes.end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for time in [block.oldest, block.newest] {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        bytes.extend_from_slice(&block.shapes.to_bits().to_le_bytes());
        bytes.extend_from_slice(block.words.bytes());
    }
    bytes.extend_from_slice(digest(&SHA256, &bytes).as_ref());
    let path = path(folder, number);
    let fresh = path.with_extension("index.new");
    File::create(&fresh)?.write_all(&bytes)?;
    std::fs::rename(fresh, path)
}

/// The blocks of a segment, if its file is one to believe.
pub(super) fn read(folder: &Path, (number, segment): (u64, &File)) -> Option<Vec<Block>> {
    let most = segment.metadata().ok()?.len();
    let file = File::open(path(folder, number)).ok()?;
    // Every block but the last is at least as long as a block.
    let rows = usize::try_from(most / BLOCK + 1).ok()?;
    let longest = MAGIC.len() + 3 * HASH + 8 + rows * ROW;
    let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let mut bytes = vec![0; Some(size).filter(|size| *size <= longest)?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let (said, hash) = bytes.split_at_checked(size.checked_sub(HASH)?)?;
    if digest(&SHA256, said).as_ref() != hash {
        return None;
    }
    let head_end = MAGIC.len() + 2 * HASH + 8;
    let (said_head, rows) = said.split_at_checked(head_end)?;
    let length = u64::from_le_bytes(said_head.get(head_end - 8..)?.try_into().ok()?);
    if length > most || said_head != head(segment, length).ok()?.as_slice() || rows.len() % ROW != 0 {
        return None;
    }
    let blocks = rows.chunks(ROW).map(block).collect::<Option<Vec<Block>>>()?;
    let mut reached = 0;
    for block in &blocks {
        if block.bytes.start != reached || block.bytes.end <= reached {
            return None;
        }
        reached = block.bytes.end;
    }
    (reached == length).then_some(blocks)
}

/// What the file is about: this form, this rendering, this segment.
fn head(segment: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut tail = vec![0; usize::try_from(length.min(TAIL)).unwrap_or(0)];
    segment.read_exact_at(&mut tail, length - length.min(TAIL))?;
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&*RENDERING);
    head.extend_from_slice(digest(&SHA256, &tail).as_ref());
    head.extend_from_slice(&length.to_le_bytes());
    Ok(head)
}

fn block(row: &[u8]) -> Option<Block> {
    let number = |at: usize| Some(u64::from_le_bytes(row.get(at..at + 8)?.try_into().ok()?));
    let time = |at: usize| Some(i64::from_le_bytes(row.get(at..at + 8)?.try_into().ok()?));
    Some(Block {
        bytes: number(0)?..number(8)?,
        oldest: time(16)?,
        newest: time(24)?,
        shapes: Shapes::from_bits(u128::from_le_bytes(row.get(32..48)?.try_into().ok()?)),
        words: Words::from_bytes(row.get(48..)?)?,
    })
}

/// What this server makes of records: words of an index are those of rendered entries, so one that was made by a server
/// that renders them otherwise is not to be believed.
static RENDERING: LazyLock<[u8; HASH]> = LazyLock::new(|| {
    let mut context = Context::new(&SHA256);
    context.update(env!("CARGO_PKG_VERSION").as_bytes());
    for line in EXAMPLES {
        let Some(seen) = glance(line.as_bytes()) else {
            continue;
        };
        context.update(format!("{:?}", Shape::of(line.as_bytes()).map(Shape::form)).as_bytes());
        for entry in entries_of(seen, line.as_bytes(), &|_| true, |entry| Some(entry.to_json())) {
            context.update(entry.to_string().as_bytes());
        }
    }
    let mut hash = [0; HASH];
    hash.copy_from_slice(context.finish().as_ref());
    hash
});

/// One record of each kind of rendering.
const EXAMPLES: [&str; 6] = [
    r#"{"time":"2026-01-01T00:00:00Z","id":"i","cluster":"projects/p/locations/l/clusters/c","dialect":"AdmissionReview","uid":"u","operation":"CREATE","group":"","version":"v1","kind":"Pod","subResource":"","namespace":"n","name":"o","user":"a","serviceAccount":"s","dryRun":true,"latencyMicros":1,"verdict":"DENY","conforms":false,"reason":"NO_ATTESTATIONS","effect":"ENFORCED","message":"m","rule":"r","policy":{"name":"y","etag":"e"},"images":[{"field":"spec.containers[0]","image":"x","verdict":"DENY","reasons":[{"code":"NO_ATTESTATIONS","message":"w"}]}],"seq":1}"#,
    r#"{"time":"2026-01-01T00:00:00Z","cluster":"projects/p/locations/l/clusters/c","dialect":"ImageReview","operation":"UPDATE","group":"apps","version":"v1","kind":"Deployment","subResource":"scale","namespace":"n","name":"o","user":"a","dryRun":false,"latencyMicros":1,"verdict":"DENY","conforms":false,"reason":"ALWAYS_DENY","effect":"ENFORCED","message":"m","images":[],"imageCount":2,"truncated":true,"sha256":"h","seq":1}"#,
    r#"{"time":"2026-01-01T00:00:00Z","cluster":"projects/p/locations/l/clusters/c","dialect":"AdmissionReview","operation":"CREATE","group":"","version":"v1","kind":"Pod","namespace":"n","name":"o","user":"a","door":{"own":{"label":"true","annotation":"j"},"template":{"label":"t"}},"dryRun":false,"latencyMicros":1,"verdict":"ALLOW","conforms":false,"reason":"NO_ATTESTATIONS","effect":"BREAK_GLASS","message":"m","justification":"j","images":[{"field":"spec.containers[0]","image":"x","verdict":"DENY","reasons":[{"code":"ALWAYS_DENY","message":"w"}]}],"seq":1}"#,
    r#"{"time":"2026-01-01T00:00:00Z","cluster":"projects/p/locations/l/clusters/c","dialect":"AdmissionReview","operation":"CREATE","group":"batch","version":"v1","kind":"CronJob","namespace":"n","name":"o","user":"a","dryRun":false,"advice":true,"latencyMicros":1,"verdict":"ALLOW","conforms":false,"reason":"NOT_PINNED","effect":"DRY_RUN","message":"m","images":[{"field":"spec.jobTemplate.spec.template.spec.containers[0]","image":"x","verdict":"DENY","reasons":[{"code":"NOT_PINNED","message":"w"}]}],"seq":1}"#,
    r#"{"log":"call","time":"2026-01-01T00:00:00Z","auditSequence":1,"principal":"a","method":"binaryauthorization.UpdatePolicy","resource":"projects/p/policy","code":7,"requestId":"r","detail":{"permission":"p","message":"m","version":"v1","userAgent":"u","fact":"f"},"seq":1}"#,
    r#"{"log":"entry","time":"2026-01-01T00:00:00Z","entry":{"logName":"projects/p/logs/l","textPayload":"t","timestamp":"2026-01-01T00:00:00Z"},"seq":1}"#,
];
