//! `bench`: what the webhook adds to the time of an admission, measured against one's own installation.

mod report;
mod target;
mod way;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};

use self::{
    report::Report,
    target::{ClusterFlags, WebhookFlags},
    way::{Verdict, Way},
};
use super::files;
use crate::{
    duration,
    failure::{Exit, Failure},
    load::{Came, Load, Until, drive, svg},
    output,
    settings::Settings,
};

/// Requests at once: an API server has 400 to 600 in flight before it turns the next away.
const AT_ONCE_MAX: usize = 1_000;
/// More than a server answers: what is not sent in time is counted and not waited for.
const RATE_MAX: f64 = 100_000.0;
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Both ways are asked by turns, this often each: what else the machine does meanwhile is shared by both.
const TURNS: u32 = 10;

/// What is asked, and how much of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz bench --data-dir data --project demo --image=IMAGE@sha256:… --expect=admitted\n  \
    binauthz bench --webhook-url=https://binauthz.example:8443 --ca-file=ca.pem \\\n      \
    --cluster=projects/demo/locations/us-central1-a/clusters/my-cluster --duration=30s --plot=latency.svg\n  \
    binauthz bench --context=my-cluster --namespace=default --exempt-namespace=kube-system --concurrency=16\n\n\
    Without --context, reviews are sent to the webhook itself, and what it adds is what they take longer than the same\n\
    bytes to an address of the same listener that gives no verdict. With --context, Pods are created in dry run through the\n\
    API server, and what the webhook adds is what they take longer than in a namespace that is exempt from it. Nothing\n\
    is kept in either case, but every verdict is in the log of the server, marked as a dry run.\n\n\
    Every answer is checked. Exits with 1 if one was missing or another verdict than the first (or --expect)."
)]
pub struct Flags {
    #[command(flatten)]
    webhook: WebhookFlags,
    #[command(flatten)]
    through: ClusterFlags,
    /// Namespace of the Pod
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Image of the Pod (else one that nobody attested)
    #[arg(long, conflicts_with = "manifest")]
    image: Option<String>,
    /// File with the Pod, YAML or JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Verdict that every answer must have (else that of the first)
    #[arg(long)]
    expect: Option<Expected>,
    /// How long each of both ways is asked, e.g. 30s; up to 1h
    #[arg(long, default_value = "10s", value_parser = length)]
    duration: Duration,
    /// Requests that wait for an answer at the same time, up to 1000
    #[arg(long, default_value = "8", value_name = "NUMBER", value_parser = at_once)]
    concurrency: usize,
    /// Requests begun in a second (else each begins when an answer has come)
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// File to draw the response times into, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What a verdict should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Expected {
    Admitted,
    Denied,
}

impl Expected {
    fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied => "denied",
        }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        length if length > LONGEST => Err("expected at most 1h".to_owned()),
        length => Ok(length),
    }
}

fn at_once(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=AT_ONCE_MAX) => Ok(number),
        _ => Err(format!("expected a number from 1 to {AT_ONCE_MAX}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=RATE_MAX).contains(&rate) => Ok(rate),
        _ => Err(format!("expected a number from 0.1 to {RATE_MAX}")),
    }
}

impl Flags {
    /// Measures, and prints what came of it.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        if let Some(path) = &self.plot {
            must_be_in_a_folder(path)?;
        }
        let pod = self.pod()?;
        let (without, with) = match &self.through.context {
            Some(context) => self.through.ways(context, &self.namespace, &pod).await?,
            None => self.webhook.ways(settings, &self.namespace, &pod).await?,
        };
        // Whatever cannot work is said before anything is measured.
        without.tried().await?;
        let expected = self.expected(with.tried().await?)?;
        output::note(&format!(
            "{}: {} at once, {} each by turns, every verdict expected to be `{}`",
            with.target(),
            self.concurrency,
            duration::seconds(self.duration),
            expected.word(),
        ));
        let report = self.measure(&without, &with.expecting(expected)).await;
        report.print(settings.format.as_ref())?;
        if let Some(path) = &self.plot {
            let title = format!("Pod admission, {} at once: {}", self.concurrency, with.target());
            let lines = [
                ("without the webhook", &report.without.waits),
                ("with the webhook", &report.with.waits),
            ];
            files::write(Some(path), svg(&title, &lines).as_bytes())?;
        }
        Ok(report.exit())
    }

    fn pod(&self) -> Result<way::Pod, Failure> {
        match (&self.manifest, &self.image) {
            (Some(path), _) => way::Pod::read(path),
            (None, image) => Ok(way::Pod::of_image(image.as_deref())),
        }
    }

    /// What every verdict is to be, now that there is a first.
    fn expected(&self, first: Verdict) -> Result<Expected, Failure> {
        let (found, message) = match first {
            Verdict::Admitted => (Expected::Admitted, String::new()),
            Verdict::Denied(message) => (Expected::Denied, message),
        };
        match self.expect {
            Some(expected) if expected != found => Err(Failure::refused(format_args!(
                "the Pod was {}, expected {}",
                found.word(),
                expected.word()
            ))
            .advise(match found {
                Expected::Denied => message.as_str(),
                Expected::Admitted => "`binauthz decide` says why",
            })),
            _ => Ok(found),
        }
    }

    async fn measure(&self, without: &Way, with: &Way) -> Report {
        let load = Load {
            at_once: self.concurrency,
            until: Until::Elapsed(self.duration / TURNS),
            per_second: self.rate,
        };
        let mut report = Report::default();
        // The first turn opens connections and fills caches; what goes wrong in it would go wrong again.
        for turn in 0..=TURNS {
            for (way, came) in [(without, &mut report.without), (with, &mut report.with)] {
                let asking = Arc::new(way.clone());
                let part: Came = drive(load, move |number| {
                    let asking = Arc::clone(&asking);
                    async move { asking.ask(number).await }
                })
                .await;
                if turn > 0 {
                    came.add(&part);
                }
            }
        }
        report
    }
}

/// Found out before minutes are spent.
fn must_be_in_a_folder(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => Err(Failure::usage(format_args!(
            "`{}` is not a folder to draw into",
            parent.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_reach_is_refused() {
        for text in ["0", "1001", "-1", "many", ""] {
            assert!(at_once(text).is_err(), "{text}");
        }
        for text in ["0", "100001", "-1", "inf", "NaN", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["0s", "61m", "2h", "10", ""] {
            assert!(length(text).is_err(), "{text}");
        }
        assert_eq!(at_once("1000"), Ok(1_000));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(length("1h"), Ok(LONGEST));
    }

    #[test]
    fn a_drawing_needs_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(must_be_in_a_folder(Path::new("here.svg")).is_ok());
        assert!(must_be_in_a_folder(&folder.path().join("there.svg")).is_ok());
        let failure = must_be_in_a_folder(&folder.path().join("no/there.svg")).expect_err("no folder");
        assert!(failure.sentence().contains("is not a folder"), "{failure}");
    }
}
