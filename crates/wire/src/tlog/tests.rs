use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

struct Writer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
    log: Log,
    files: Vec<Vec<Vec<u8>>>,
}

impl Writer {
    fn new(name: &str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&hash(&[name.as_bytes()])).unwrap();
        let key = VerifierKey::new(name, pair.public_key().as_ref().try_into().unwrap()).unwrap();
        let mut writer = Self {
            pair,
            key,
            log: Log::new(name),
            files: Vec::new(),
        };
        writer.file();
        writer
    }

    fn put(&mut self, record: &[u8]) {
        let mut bytes = Vec::new();
        assert!(self.log.append(&mut bytes, record));
        assert_eq!(bytes.pop(), Some(b'\n'));
        self.files.last_mut().unwrap().push(bytes);
    }

    fn file(&mut self) {
        let header = Header {
            segment: self.files.len() as u64 + 1,
            origin: self.log.origin.clone(),
            tree: self.log.tree.clone(),
            chain: self.log.chain,
        };
        self.files.push(Vec::new());
        self.put(&header.body());
    }

    fn note(&self) -> String {
        let checkpoint = self.log.checkpoint();
        checkpoint.note(&self.key, self.pair.sign(checkpoint.text().as_bytes()).as_ref())
    }

    fn sign(&mut self) {
        let note = self.note();
        self.put(&checkpoint_body(&note));
    }
}

/// Three files of records, with checkpoints, and a few records that are not signed yet.
fn story(name: &str) -> Writer {
    let mut writer = Writer::new(name);
    for file in 0..3 {
        for number in 0..10 {
            writer.put(format!(r#"{{"verdict":"DENY","n":{file}{number}}}"#).as_bytes());
            if number % 4 == 3 {
                writer.sign();
            }
        }
        writer.sign();
        if file < 2 {
            writer.file();
        }
    }
    writer.put(br#"{"verdict":"ALLOW","n":"last"}"#);
    writer
}

fn verify(key: &VerifierKey, files: &[Vec<Vec<u8>>], anchor: Option<Checkpoint>) -> Result<Summary, Fault> {
    let mut verifier = Verifier::new(key.clone(), anchor);
    for file in files {
        verifier.begin_file();
        for line in file {
            verifier.line(line)?;
        }
    }
    verifier.finish()
}

#[test]
fn a_log_that_nobody_touched_verifies_whole_and_from_any_file_on() {
    let writer = story("log/a");
    let size = writer.log.tree.size();
    let whole = verify(&writer.key, &writer.files, None).unwrap();
    assert_eq!((whole.first, whole.size, whole.signed), (0, size, size - 2));
    let anchor = Checkpoint::open(&writer.note(), &writer.key).unwrap();
    for from in 0..3 {
        let part = verify(&writer.key, &writer.files[from..], Some(anchor.clone())).unwrap();
        assert_eq!((part.size, part.anchored), (size, true), "from file {from}");
        assert_eq!(part.first == 0, from == 0);
    }
    assert_eq!(verify(&writer.key, &[], None), Err(Fault::Empty));
}

#[test]
fn every_line_that_is_changed_removed_doubled_or_swapped_is_named() {
    let writer = story("log/a");
    let places: Vec<(usize, usize)> = (0..3)
        .flat_map(|file| (0..writer.files[file].len()).map(move |line| (file, line)))
        .collect();
    for (number, (file, line)) in (0_u64..).zip(places) {
        let faults = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut files = writer.files.clone();
            change(&mut files[file]);
            verify(&writer.key, &files, None)
        };
        let edited = faults(&|lines| {
            let at = lines[line].iter().position(|byte| *byte == b':').unwrap() + 2;
            lines[line][at] ^= 1;
        });
        assert!(edited.is_err(), "{file}/{line} edited");
        let is_last = number + 1 == writer.log.tree.size();
        if line > 0 {
            let edited_hash = faults(&|lines| {
                let at = lines[line].len() - 20;
                lines[line][at] = if lines[line][at] == b'A' { b'B' } else { b'A' };
            });
            assert_eq!(edited_hash, Err(Fault::ChainBroken(number)), "{file}/{line}");
            let removed = faults(&|lines| drop(lines.remove(line)));
            let at_end = line + 1 == writer.files[file].len();
            match removed {
                // Nothing stands behind the last line yet; only a checkpoint kept elsewhere knows of it.
                Ok(summary) => assert!(is_last && summary.size == number),
                Err(Fault::WrongSequence { expected, got }) => {
                    assert_eq!((expected, got), (number, number + 1))
                }
                Err(Fault::HeaderMismatch) => assert!(at_end),
                Err(other) => panic!("{file}/{line} removed: {other}"),
            }
            let doubled = faults(&|lines| {
                let copy = lines[line].clone();
                lines.insert(line, copy);
            });
            assert!(
                matches!(doubled, Err(Fault::WrongSequence { .. })),
                "{file}/{line} doubled"
            );
        }
        if line > 1 {
            let swapped = faults(&|lines| lines.swap(line - 1, line));
            assert!(
                matches!(swapped, Err(Fault::WrongSequence { .. })),
                "{file}/{line} swapped"
            );
        }
    }
}

#[test]
fn a_log_written_anew_does_not_have_the_signed_root() {
    let writer = story("log/a");
    // Whoever can write the files computes a chain that fits, and copies the checkpoints.
    let mut log = Log::new("log/a");
    let mut forged = vec![Vec::new()];
    for (index, line) in writer.files[0].iter().enumerate() {
        let covered = Link::of(line).unwrap().covered;
        let end = covered.windows(7).rposition(|part| part == b",\"seq\":").unwrap();
        let mut record = covered[..end].to_vec();
        record.push(b'}');
        if index == 2 {
            record = br#"{"verdict":"ALLOW"}"#.to_vec();
        }
        let mut bytes = Vec::new();
        assert!(log.append(&mut bytes, &record));
        bytes.pop();
        forged[0].push(bytes);
    }
    assert_eq!(
        verify(&writer.key, &forged, None),
        Err(Fault::RootMismatch { size: 5, since: 0 })
    );
}

#[test]
fn a_missing_end_is_known_by_a_checkpoint_kept_elsewhere() {
    let writer = story("log/a");
    let anchor = Checkpoint::open(&writer.note(), &writer.key).unwrap();
    for missing in 1..5 {
        let mut files = writer.files.clone();
        let kept = files[2].len() - missing;
        files[2].truncate(kept);
        let size = writer.log.tree.size();
        assert_eq!(
            verify(&writer.key, &files, Some(anchor.clone())),
            Err(Fault::Truncated {
                have: size - missing as u64,
                signed: size
            })
        );
    }
    let mut files = writer.files.clone();
    files.remove(1);
    assert_eq!(verify(&writer.key, &files, None), Err(Fault::HeaderMismatch));
}

#[test]
fn whatever_was_signed_elsewhere_must_agree() {
    let writer = story("log/a");
    let size = writer.log.tree.size();
    let verify = |stated: &[Checkpoint]| {
        let mut verifier = Verifier::new(writer.key.clone(), None);
        for checkpoint in stated {
            verifier.agree_with(checkpoint.clone());
        }
        for file in &writer.files {
            verifier.begin_file();
            for line in file {
                verifier.line(line)?;
            }
        }
        verifier.finish()
    };
    let mut log = Log::new("log/a");
    let mut all = vec![log.checkpoint()];
    for line in writer.files.iter().flatten() {
        log.chain = Link::of(line).unwrap().chain;
        log.tree.push(log.chain.as_bytes());
        all.push(log.checkpoint());
    }
    // Statements are no anchor: nobody kept them where the log's owner cannot reach.
    assert!(!verify(&all).unwrap().anchored);
    for at in 0..all.len() {
        let mut stated = all.clone();
        stated[at].root[0] ^= 1;
        let wrong = stated[at].clone();
        let size = wrong.size;
        for stated in [stated, vec![wrong.clone()], vec![all[at].clone(), wrong]] {
            let fault = verify(&stated).unwrap_err();
            assert!(
                matches!(fault, Fault::RootMismatch { size: found, .. } if found == size),
                "{at}: {fault}"
            );
        }
    }
    let mut longer = writer.log.checkpoint();
    longer.size += 1;
    assert_eq!(
        verify(&[all[3].clone(), longer]),
        Err(Fault::Truncated {
            have: size,
            signed: size + 1
        })
    );
}

#[test]
fn nothing_of_another_log_fits() {
    let (ours, theirs) = (story("log/a"), story("log/b"));
    assert!(matches!(
        verify(&ours.key, &theirs.files, None),
        Err(Fault::OtherLog { .. })
    ));
    for line in 1..12 {
        let mut files = ours.files.clone();
        files[0][line] = theirs.files[0][line].clone();
        let fault = verify(&ours.key, &files, None).unwrap_err();
        assert!(
            matches!(fault, Fault::ChainBroken(number) if number == line as u64),
            "{line}: {fault}"
        );
    }
    let mut files = ours.files.clone();
    files[1] = theirs.files[1].clone();
    assert!(matches!(
        verify(&ours.key, &files, None),
        Err(Fault::OtherLog { .. })
    ));
    // The same name with another key.
    let impostor = VerifierKey::new("log/a", [7; 32]).unwrap();
    assert!(matches!(
        verify(&impostor, &ours.files, None),
        Err(Fault::BadCheckpoint { .. })
    ));
}

#[test]
fn a_batch_that_was_never_confirmed_may_stand_at_the_end_of_a_file() {
    let mut writer = story("log/a");
    let confirmed = writer.log.clone();
    writer.put(br#"{"n":"lost"}"#);
    writer.put(br#"{"n":"lost too"}"#);
    writer.log = confirmed;
    writer.file();
    writer.sign();
    let summary = verify(&writer.key, &writer.files, None).unwrap();
    assert_eq!(summary.unconfirmed, 2);
    // But nobody goes back behind what was signed.
    let mut liar = story("log/a");
    let past = liar.log.clone();
    liar.sign();
    liar.put(br#"{"n":"signed"}"#);
    liar.log = past;
    liar.file();
    assert_eq!(
        verify(&liar.key, &liar.files, None).unwrap().unconfirmed,
        2,
        "the checkpoint itself is not behind it"
    );
    let mut liar = story("log/a");
    let past = liar.log.clone();
    liar.put(br#"{"n":"to be hidden"}"#);
    liar.sign();
    liar.log = past;
    liar.file();
    assert_eq!(verify(&liar.key, &liar.files, None), Err(Fault::HeaderMismatch));
}

#[test]
fn the_tree_is_that_of_rfc_6962() {
    // The test vectors of Certificate Transparency: leaves, and the root of each prefix.
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[
            0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
        ],
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut tree = Tree::default();
    assert_eq!(
        hex(tree.root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (leaf, root) in leaves.iter().zip(roots) {
        tree.push(leaf);
        assert_eq!(hex(tree.root()), root, "{} leaves", tree.size());
        let again = Tree::from_subtrees(tree.size(), tree.subtrees().to_vec()).unwrap();
        assert_eq!(again, tree);
    }
    assert_eq!(Tree::from_subtrees(3, vec![[0; 32]]), None);
}

#[test]
fn notes_are_read_as_the_specification_has_them() {
    let writer = story("log/a");
    let note = writer.note();
    let checkpoint = Checkpoint::open(&note, &writer.key).unwrap();
    assert_eq!(checkpoint, writer.log.checkpoint());
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!((lines[0], lines[3]), ("log/a", ""));
    assert!(lines[4].starts_with("\u{2014} log/a "));
    // A witness adds its own signature.
    let stranger = format!("{note}\u{2014} witness.example {}\n", STANDARD.encode([9; 68]));
    assert_eq!(Checkpoint::open(&stranger, &writer.key).unwrap(), checkpoint);
    let table = [
        (note.replacen("log/a\n", "log/b\n", 1), InvalidNote::BadSignature),
        (note.replacen("log/a\n", "log/a\n1", 1), InvalidNote::BadSignature),
        (
            note.replace("\u{2014} log/a", "\u{2014} log/c"),
            InvalidNote::NotSigned("log/a".to_owned()),
        ),
        (note.replace("\n\n", "\n"), InvalidNote::Malformed),
        (String::new(), InvalidNote::Malformed),
        ("\n".repeat(100_000), InvalidNote::Malformed),
    ];
    for (text, fault) in table {
        assert_eq!(
            Checkpoint::open(&text, &writer.key),
            Err(fault),
            "{}",
            &text[..text.len().min(40)]
        );
    }
}

#[test]
fn verifier_keys_travel_as_text() {
    let key = story("log/a").key;
    let text = key.to_string();
    assert_eq!(text.parse::<VerifierKey>().as_ref(), Ok(&key));
    // A key of the note format's own documentation.
    let published = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(published.parse::<VerifierKey>().unwrap().to_string(), published);
    let other_id = text.replacen(&text[6..7], if &text[6..7] == "0" { "1" } else { "0" }, 1);
    for bad in [
        "",
        "a",
        "a+b",
        "log/a+00000000+AA==",
        &other_id,
        &text[..text.len() - 4],
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    for name in ["", "a b", "a+b", "a\nb"] {
        assert!(VerifierKey::new(name, [0; 32]).is_err(), "{name:?}");
    }
}

#[test]
fn a_line_is_linked_only_in_the_one_form() {
    let mut bytes = Vec::new();
    let chain = Chain::genesis("log/a");
    let hostile = br#"{"a":"\",\"seq\":7,\"chain\":\"x\"}"}"#;
    let after = Link::append(&mut bytes, hostile, 12, &chain).unwrap();
    let link = Link::of(&bytes).unwrap();
    assert_eq!((link.sequence, link.chain), (12, after));
    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    for record in [&b""[..], b"{}", b"[]", b"}", b"null"] {
        assert_eq!(Link::append(&mut Vec::new(), record, 0, &chain), None);
    }
    let text = String::from_utf8(bytes).unwrap();
    for bad in [
        text.replace(",\"seq\":12", ",\"seq\":012"),
        text.replace(",\"seq\":12", ",\"seq\":"),
        text.replace(",\"seq\":12", ",\"seq\":-1"),
        text.replace(",\"chain\"", ", \"chain\""),
        text[1..].to_owned() + " ",
        text[text.len() - 20..].to_owned(),
        String::new(),
    ] {
        assert_eq!(Link::of(bad.as_bytes()), None, "{bad}");
    }
}
