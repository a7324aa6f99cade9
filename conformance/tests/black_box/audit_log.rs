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
        (
            "sed -i '0,/\\\\n[0-9]*\\\\n/s//\\\\n1\\\\n/' copy/segment-0000000001.jsonl",
            "was changed",
        ),
        ("sed -i '2s/.*/1/' copy/checkpoint", "signature does not hold"),
        (
            "sed -i '3d' copy/segment-0000000001.jsonl && sed -n 3p foreign >third && sed -i '2r third' copy/segment-0000000001.jsonl",
            "was changed",
        ),
        (
            "cp foreign copy/segment-0000000002.jsonl",
            "this belongs to the log",
        ),
    ];
    // Another server's log, which is as long.
    desk.write("foreign", &foreign());
    for (attack, finding) in attacks {
        desk.ok(&format!("{copy} && {attack}"));
        desk.sh(verify).exits(1).says(&[finding]);
    }
    // Another log's key says at once that this is not its log.
    desk.ok(&format!("{copy} && sed -i 's/^binauthz/binauthy/' key"));
    desk.sh(verify).exits(2);
}

fn foreign() -> String {
    let desk = prepared(&[]).expect("what one desk has, another has too");
    for number in 0..5 {
        desk.admit(&review::pod(&format!("p{number}"), IMAGES))
            .denied(&[]);
    }
    let path = desk.server.data.join("journal/segment-0000000001.jsonl");
    let text = std::fs::read_to_string(path).expect("the segment is there");
    text.trim_end_matches('\0').to_owned()
}

/// AU-01: whatever somebody calls a Pod, it is one line, and no terminal acts on it.
#[test]
fn what_a_pod_is_called_forges_no_line_and_moves_no_cursor() {
    let Some(desk) = prepared(&[]) else { return };
    let mut pod = review::pod("p", &format!("{IMAGES}/x\u{1b}[2J"));
    pod["metadata"]["name"] = "x\n{\"verdict\":\"ALLOW\"}\u{1b}[2J\u{9b}31m\u{202e}".into();
    pod["metadata"]["annotations"] =
        serde_json::json!({ "alpha.image-policy.k8s.io/break-glass": "why\r\u{1b}]0;owned\u{7}" });
    let mut review = review::create(&pod);
    review["request"]["userInfo"]["username"] = "mallory\u{2028}\u{1b}[1A".into();
    desk.review("admit", binauthz_conformance::desk::CLUSTER, &review)
        .admitted();
    let acts = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let at = "--data-dir \"$DATA\" --project demo";
    for command in [
        format!("binauthz logs list {at}"),
        format!("binauthz logs list {at} --format=json"),
        format!("binauthz logs list {at} --format=yaml"),
        format!("binauthz logs list {at} --format='value(name, user, justification)'"),
        format!("binauthz break-glass report {at}"),
        format!("binauthz break-glass report {at} --format=markdown"),
        "binauthz audit export \"$DATA/journal\"".to_owned(),
        "binauthz audit export \"$DATA/journal\" --as=cef".to_owned(),
    ] {
        let ran = desk.ok(&command);
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains(acts), "{command}: {shown:?}");
        assert!(ran.text().contains("2J") || ran.text().contains("owned"), "{ran}");
    }
    let verdicts = desk.ok("binauthz audit export \"$DATA/journal\" | grep -c '\"verdict\"'");
    assert_eq!(verdicts.text(), "1");
}
