//! The verdict log as an outsider gets it: files, a key and a checkpoint that was kept elsewhere.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::review;
use binauthz_conformance::server::poll_until;

use crate::signatures::prepared;

#[test]
fn a_log_verifies_until_somebody_touches_it() {
    let Some(desk) = prepared(&[]) else { return };
    let image = format!("{IMAGES}/myservice@sha256:{}", "a".repeat(64));
    for number in 0..5 {
        desk.admit(&review::pod(&format!("p{number}"), &image))
            .denied(&["No attestations found"]);
    }
    let kept = poll_until(std::time::Duration::from_secs(30), || {
        let ran = desk.sh("binauthz audit checkpoint --data-dir \"$DATA\"");
        let size = ran
            .text()
            .lines()
            .nth(1)
            .and_then(|size| size.parse::<u64>().ok());
        size.filter(|size| *size >= 6).map(|_| ran.text().to_owned())
    });
    desk.write("kept", &kept.expect("the clock has the log signed"));
    let copy = "rm -rf copy && cp -r \"$DATA/journal\" copy";
    desk.ok(&format!("{copy} && cp copy/log.vkey key"));
    let verify = "binauthz audit verify copy --key=key --checkpoint=kept";
    desk.ok(verify).says(&["is whole", "records 0 to"]);
    desk.ok("binauthz audit export copy | jq -s 'map(select(.verdict == \"DENY\")) | length'")
        .says(&["5"]);
    desk.ok("binauthz audit export copy --as=cef")
        .says(&["CEF:0|binauthz|", "|image denied|7|"]);
    let attacks = [
        (
            "sed -i '0,/DENY/s//DENZ/' copy/segment-0000000001.jsonl",
            "was changed",
        ),
        (
            "sed -i '3d' copy/segment-0000000001.jsonl",
            "removed, added or moved",
        ),
        (
            "sed -i '3{h;d};4{G}' copy/segment-0000000001.jsonl",
            "removed, added or moved",
        ),
        (
            "sed -i '5,$d' copy/segment-0000000001.jsonl",
            "its end is missing",
        ),
        ("sed -i '3s/./[/' copy/segment-0000000001.jsonl", "line 3:"),
    ];
    for (attack, finding) in attacks {
        desk.ok(&format!("{copy} && {attack}"));
        desk.sh(verify).exits(1).says(&[finding]);
    }
    // Another log's key says at once that this is not its log.
    desk.ok(&format!("{copy} && sed -i 's/^binauthz/binauthy/' key"));
    desk.sh(verify).exits(2);
}
