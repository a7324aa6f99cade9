//! The logs of several servers on one store, under the one statement over all of them.

use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};

use crate::replicas::{PATIENCE, metric, pair};
use crate::signatures::{image, prepare};

/// How many records a server's own newest checkpoint was signed over.
fn signed_for(desk: &Desk) -> u64 {
    let ran = desk.sh("binauthz audit checkpoint --data-dir \"$DATA\"");
    let size = ran.stdout.lines().nth(1).and_then(|line| line.parse().ok());
    size.unwrap_or(0)
}

/// The newest statement over all logs that speaks of as many records of each of them as they have signed for now.
fn statement(desks: [&Desk; 2]) -> String {
    let ask = "binauthz audit checkpoint --merged --data-dir \"$DATA\"";
    let wanted: Vec<(String, u64)> = desks
        .iter()
        .map(|desk| {
            let origin = desk.ok("cat \"$DATA/journal/origin\"").text().to_owned();
            (origin, signed_for(desk))
        })
        .collect();
    let speaks = |statement: &str, (origin, size): &(String, u64)| {
        let mut lines = statement
            .lines()
            .filter(|line| line.contains(&format!(" {origin}+")));
        let stated = lines
            .next()
            .and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
        stated.is_some_and(|stated| stated >= *size)
    };
    poll_until(PATIENCE, || {
        let said = desks[0].sh(ask).stdout;
        wanted.iter().all(|log| speaks(&said, log)).then_some(said)
    })
    .expect("both logs are stated")
}

#[test]
fn a_journal_that_is_missing_or_older_is_found_by_the_statement_over_all_of_them() {
    let Some((database, one, two)) = pair(&[]) else {
        return;
    };
    prepare(&one);
    let bad = review::pod("p", &image("a"));
    let deny = |desk: &Desk| drop(desk.admit(&bad).denied(&["No attestations found"]));
    for desk in [&one, &two] {
        deny(desk);
    }
    statement([&one, &two]);
    // What a snapshot of the machine would have: whole in itself.
    let copy = |desk: &Desk, name: &str| {
        let to = one.folder().join(name);
        desk.ok(&format!("cp -r \"$DATA/journal\" '{}'", to.display()));
    };
    copy(&two, "older");
    one.ok("binauthz audit verify older").says(&["is whole"]);
    let before = [signed_for(&one), signed_for(&two)];
    for desk in [&one, &two] {
        deny(desk);
        deny(desk);
    }
    poll_until(PATIENCE, || {
        (signed_for(&one) > before[0] && signed_for(&two) > before[1]).then_some(())
    })
    .expect("it is signed for");
    one.write("kept", &statement([&one, &two]));
    one.ok("cp \"$DATA/journal/merged.vkey\" key");
    copy(&one, "one");
    copy(&two, "two");
    let verify = |folders: &str| {
        one.sh(&format!(
            "binauthz audit verify {folders} --merged=kept --merged-key=key"
        ))
    };
    verify("one two").ok().says(&["Together they are what statement"]);
    verify("one").refused(&["is missing"]);
    verify("one older").refused(&["its end is missing"]);
    verify("one one").refused(&["both hold the log"]);
    // Without one that was kept the statements in the folders are used.
    one.ok("binauthz audit verify one two")
        .says(&["Together they are", "proves more"]);
    one.ok("cp -r one other && cp two/segment-0000000001.jsonl other/");
    verify("other two").refused(&["belongs to the log"]);
    one.ok("test $(binauthz audit export one two | wc -l) = \
         $(( $(binauthz audit export one | wc -l) + $(binauthz audit export two | wc -l) ))");
    let times = one
        .ok("binauthz audit export one two | jq -r '.time[:19]'")
        .stdout;
    let times: Vec<&str> = times.lines().collect();
    assert!(times.len() > 6 && times.is_sorted(), "{times:?}");
    // The server that is set back finds it out itself, by what it had published.
    let mut two = two;
    two.server.end();
    let older = one.folder().join("older").display().to_string();
    two.ok(&format!(
        "rm -r \"$DATA/journal\" && cp -r '{older}' \"$DATA/journal\""
    ));
    let url = database.url();
    let two = two.restarted_with(&["--store", &url]);
    two.ok("ls -d \"$DATA\"/journal.broken-*");
    assert_eq!(metric(&two, "binauthz_journal_broken").as_deref(), Some("1"));
    // And the statement still says that it was there.
    deny(&two);
    poll_until(PATIENCE, || (signed_for(&two) > 0).then_some(())).expect("it is signed for");
    one.write("later", &statement([&one, &two]));
    copy(&two, "new");
    one.sh("binauthz audit verify one new --merged=later --merged-key=key")
        .refused(&["is missing"]);
    one.ok("binauthz audit verify one two new --merged=later --merged-key=key");
}
