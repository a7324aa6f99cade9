//! A policy's allowlist of ten thousand patterns, against one of ten: alone, and in the admissions it is asked in.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use binauthz_core::image::{ImagePattern, ImageRef};
use binauthz_core::policy::{Allowlist, MAX_PATTERNS};

use crate::load::{self, median};
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

const FEW: usize = 10;
/// Images asked about in turn, so that a list is not asked the same thing twice in a row.
const IMAGES: usize = 512;
const ROUNDS: usize = 301;
const ADMISSION_ROUNDS: usize = 7;
const ADMISSIONS: usize = 10_000;
const CONCURRENCY: usize = 32;
/// The issue's: ten thousand cost no more than this many times ten.
const PROMISED_RATIO: f64 = 2.0;

/// The pattern of a number.
type Shape = fn(usize) -> String;
/// Patterns of the shapes that could hurt: a folder for each ten, one folder for all, each the beginning of the next, no wildcard.
const SHAPES: [(&str, Shape); 4] = [
    ("a folder for each ten", |n| {
        format!("r.test/team{}/app{}/*", n / 10, n % 10)
    }),
    ("one folder for all", |n| format!("r.test/team/app{n}*")),
    ("each the beginning of the next", |n| {
        format!("r.test/{}/{}*", n / 200, "a".repeat(n % 200 + 1))
    }),
    ("no wildcards", |n| format!("r.test/team/app{n}:v1")),
];

pub(crate) async fn measure() -> Outcome<bool> {
    println!(
        "{MAX_PATTERNS} patterns against {FEW}, medians of {ROUNDS} rounds of {IMAGES} images by turns\n"
    );
    let mut kept = true;
    for (shape, text) in SHAPES {
        let list = |length| {
            (0..length)
                .map(|n| text(n).parse())
                .collect::<Result<Vec<ImagePattern>, _>>()
        };
        let (many, few) = (Allowlist::from(list(MAX_PATTERNS)?), Allowlist::from(list(FEW)?));
        let images = images()?;
        let (mut slow, mut quick) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            slow.push(nanoseconds(&many, &images));
            quick.push(nanoseconds(&few, &images));
        }
        let (slow, quick) = (median(slow), median(quick));
        println!("{shape:<32} {FEW}: {quick:6.1} ns an image   {MAX_PATTERNS}: {slow:6.1} ns");
        kept &= line(shape, slow / quick, "×", PROMISED_RATIO);
    }
    Ok(kept & admissions().await?)
}

/// None is on a list, as none of those is that need an attestation; some share much with what is.
fn images() -> Outcome<Vec<ImageRef>> {
    let digest = inputs::digest(0);
    (0..IMAGES)
        .map(|n| {
            let name = match n % 4 {
                0 => format!("r.test/team{}/service{n}", n % 97),
                1 => format!("r.test/team/web{n}"),
                2 => format!("r.test/{}/service", n % 50),
                _ => format!("us-central1-docker.pkg.dev/bench/app/service{n}"),
            };
            Ok(format!("{name}@{digest}").parse()?)
        })
        .collect()
}

fn nanoseconds(list: &Allowlist, images: &[ImageRef]) -> f64 {
    let began = Instant::now();
    for image in images {
        black_box(list.exempting(black_box(image)));
    }
    began.elapsed().as_secs_f64() * 1e9 / images.len() as f64
}

/// The same in whole admissions of three attested images.
async fn admissions() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare_three(&server).await?;
    let client = server.client(false)?;
    let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    let texts: Vec<String> = (0..MAX_PATTERNS).map(SHAPES[0].1).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for round in 0..=ADMISSION_ROUNDS {
        for (length, into) in [(FEW, &mut quick), (MAX_PATTERNS, &mut slow)] {
            inputs::put_policy(&server, texts.get(..length).unwrap_or_default()).await?;
            load::post(&server, (&client, &url), &bodies, (100, CONCURRENCY)).await?;
            let size = (ADMISSIONS, CONCURRENCY);
            let came = load::post(&server, (&client, &url), &bodies, size).await?;
            // The first round opens connections and fills caches.
            if round > 0 {
                into.push(came.cpu_micros);
            }
        }
    }
    let (slow, quick) = (median(slow), median(quick));
    println!("\nwarm admission of three images     {FEW}: {quick:6.1} µs   {MAX_PATTERNS}: {slow:6.1} µs");
    Ok(line("warm admission", slow / quick, "×", PROMISED_RATIO))
}
