//! `logs tail`: verdicts as they are given, one line each.
//!
//! The server says with every answer where it stopped reading its log, and is asked to go on from there: nothing is
//! missed or shown twice, whether the connection breaks or the server is started anew.

use std::{env, io::IsTerminal, time::Duration};

use binauthz_core::{decision::Reason, time::UnixTime};
use binauthz_kubernetes::transport::TransportError;
use binauthz_wire::json::timestamp_out;
use clap::Args;
use serde_json::Value;

use crate::{
    client::{CallError, Client},
    duration,
    failure::{Exit, Failure},
    output::{self, Format, plain},
    settings::Settings,
    snapshot::now,
};

/// From one look to the next when there was nothing new.
const PAUSE: Duration = Duration::from_millis(500);
/// From one try to reach the server to the next.
const RETRY: Duration = Duration::from_secs(1);
/// Verdicts of one answer.
const PAGE: &str = "500";
/// Room for the longest word, `BREAK-GLASS`.
const WORD_WIDTH: usize = 11;

/// Which verdicts to follow.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz logs tail\n  binauthz logs tail --effect=break-glass --since=1h\n  \
    binauthz logs tail --namespace=prod --verdict=deny\n  \
    binauthz logs tail --filter='protoPayload.request.spec.containers.image:\"acme/\"' --format=json\n\n\
    Ends with Ctrl-C. Times are UTC."
)]
pub struct Flags {
    /// Only verdicts with a log entry for which it holds, in the language of `gcloud logging read`
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Only what was admitted, or only what was refused
    #[arg(long, value_parser = ["allow", "deny"], ignore_case = true)]
    verdict: Option<String>,
    /// Only with this effect
    #[arg(long, value_parser = ["enforced", "dry-run", "break-glass"], ignore_case = true)]
    effect: Option<String>,
    /// Only of this namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only with this reason code, e.g. NO_ATTESTATIONS
    #[arg(long, value_name = "CODE", value_parser = Reason::CODES, ignore_case = true)]
    reason: Option<String>,
    /// Only with an image whose reference has this in it
    #[arg(long, value_name = "TEXT")]
    image: Option<String>,
    /// Begin with the verdicts of the last span of time, e.g. 1h (else with the next one)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
}

impl Flags {
    /// Follows until Ctrl-C.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let show = Show::of(settings.format.as_ref())?;
        tokio::select! {
            outcome = self.follow(settings, &show) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
        }
    }

    async fn follow(&self, settings: &Settings, show: &Show) -> Result<Exit, Failure> {
        let path = format!("/binauthz/v1/projects/{}/decisions:follow", settings.project()?);
        let mut query = self.query();
        let since = self.since.map(|span| {
            let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            timestamp_out(UnixTime::from_micros(
                now().as_micros().saturating_sub(micros).max(0),
            ))
        });
        let mut client = settings.client()?;
        let mut token: Option<String> = None;
        let mut is_away = false;
        query.push(("pageSize", PAGE.to_owned()));
        loop {
            let start = match &token {
                Some(token) => Some(("pageToken", token.as_str())),
                None => since.as_deref().map(|since| ("since", since)),
            };
            let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
            let asked: Vec<(&str, &str)> = pairs.chain(start).collect();
            let mut page = match client.get(&path, &asked).await {
                Ok(page) => page,
                // Only who was there before comes back.
                Err(error) if token.is_some() && is_passing(&error) => {
                    if !is_away {
                        output::note(&format!("{error}; trying again until it is there"));
                        is_away = true;
                    }
                    tokio::time::sleep(RETRY).await;
                    client = again(settings).unwrap_or(client);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            is_away = false;
            let verdicts = page.get_mut("decisions").map(Value::take);
            let verdicts = verdicts.as_ref().and_then(Value::as_array);
            let is_new = verdicts.is_some_and(|verdicts| !verdicts.is_empty());
            for verdict in verdicts.into_iter().flatten() {
                output::print(&show.line(verdict))?;
            }
            let next = page.get("nextPageToken").and_then(Value::as_str);
            let has_more = next.is_some() && next != token.as_deref();
            token = next.map(str::to_owned).or(token);
            if !is_new && !has_more {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let word = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.to_ascii_uppercase().replace('-', "_"))
        };
        let all = [
            ("filter", self.filter.clone()),
            ("verdict", word(&self.verdict)),
            ("effect", word(&self.effect)),
            ("namespace", self.namespace.clone()),
            ("reason", word(&self.reason)),
            ("image", self.image.clone()),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Whether the same call may succeed later without anybody doing anything.
fn is_passing(error: &CallError) -> bool {
    match error {
        CallError::Transport(TransportError::Unreachable { .. }) => true,
        CallError::Refused(refusal) => refusal.http >= 500,
        _ => false,
    }
}

/// A server with a folder says in it where it listens, and a new one may listen elsewhere.
fn again(settings: &Settings) -> Option<Client> {
    settings.client().ok()
}

/// How a verdict is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// A line of JSON.
    Json,
    /// A line for people.
    Line { colours: bool },
}

impl Show {
    fn of(format: Option<&Format>) -> Result<Show, Failure> {
        match format {
            Some(Format::Json) => Ok(Show::Json),
            None | Some(Format::DefaultTable) => {
                let refuses = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let colours = std::io::stdout().is_terminal() && !refuses;
                Ok(Show::Line { colours })
            }
            Some(_) => Err(Failure::usage(
                "expected --format=json, or none, for a list without an end",
            )),
        }
    }

    fn line(self, verdict: &Value) -> String {
        match self {
            Show::Json => output::json_line(verdict),
            Show::Line { colours } => line(verdict, colours),
        }
    }
}

/// `11-23 08:18:25  DENY         default/Pod/web  app@ebb4fc0a57d0  NO_ATTESTATIONS: why`
fn line(verdict: &Value, colours: bool) -> String {
    let text = |name: &str| verdict[name].as_str().map(plain).unwrap_or_default();
    let time = text("time").replace('T', " ");
    let time = time.get(5..19).unwrap_or_default().to_owned();
    let (word, colour) = word(verdict);
    let word = match colours {
        true => format!("\u{1b}[{colour}m{word:WORD_WIDTH$}\u{1b}[0m"),
        false => format!("{word:WORD_WIDTH$}"),
    };
    let subject = [text("namespace"), text("kind"), text("name")].join("/");
    let trial = match verdict["dryRun"].as_bool() {
        Some(true) => " (server dry run)",
        _ => "",
    };
    format!(
        "{time}  {word}  {subject}{trial}  {}  {}\n",
        images(verdict),
        why(verdict)
    )
}

/// What became of it, and the number of its colour.
fn word(verdict: &Value) -> (&'static str, u8) {
    const RED: u8 = 31;
    const GREEN: u8 = 32;
    const YELLOW: u8 = 33;
    const MAGENTA: u8 = 35;
    let conforms = verdict["conforms"] == true;
    match (verdict["verdict"].as_str(), verdict["effect"].as_str()) {
        _ if verdict["advice"] == true && !conforms => ("WARNING", YELLOW),
        (_, Some("BREAK_GLASS")) => ("BREAK-GLASS", MAGENTA),
        (Some("ALLOW"), Some("DRY_RUN")) if !conforms => ("DRY-RUN", YELLOW),
        (Some("ALLOW"), _) => ("ALLOW", GREEN),
        _ => ("DENY", RED),
    }
}

/// The first image, without its registry and most of its digest, and how many more there are.
fn images(verdict: &Value) -> String {
    let images: Vec<&str> = verdict["images"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|image| image["image"].as_str())
        .collect();
    let Some((first, more)) = images.split_first() else {
        return "-".to_owned();
    };
    let name = first.rsplit('/').next().unwrap_or(first);
    let short = match name.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.chars().take(12).collect::<String>()),
        None => name.to_owned(),
    };
    match more.len() {
        0 => plain(&short),
        more => format!("{} +{more}", plain(&short)),
    }
}

/// The reason, and the first sentence there is about it.
fn why(verdict: &Value) -> String {
    let reason = verdict["reason"].as_str().unwrap_or_default();
    let objection = verdict["images"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|image| image["verdict"] == "DENY")
        .flat_map(|image| image["reasons"].as_array().into_iter().flatten())
        .find_map(|reason| reason["message"].as_str());
    let justification = verdict["justification"].as_str().filter(|text| !text.is_empty());
    let sentence = match (justification, objection) {
        (Some(justification), _) => Some(format!("“{justification}”")),
        (None, Some(objection)) => Some(objection.to_owned()),
        (None, None) => None,
    };
    match sentence {
        Some(sentence) => plain(&format!("{reason}: {sentence}")),
        None => plain(reason),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(verdict: &str, effect: &str, conforms: bool) -> Value {
        let digest = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
        json!({
            "time": "2026-11-23T08:18:25.234686Z", "verdict": verdict, "effect": effect, "conforms": conforms,
            "namespace": "default", "kind": "Pod", "name": "web", "reason": "NO_ATTESTATIONS",
            "images": [
                {"image": format!("r.test/acme/app@sha256:{digest}"), "verdict": "DENY",
                 "reasons": [{"code": "NO_ATTESTATIONS", "message": "No attestations found."}]},
                {"image": "r.test/acme/side:v1", "verdict": "ALLOW", "reasons": []},
            ],
        })
    }

    #[test]
    fn a_verdict_is_one_line_that_says_all() {
        assert_eq!(
            line(&verdict("DENY", "ENFORCED", false), false),
            "11-23 08:18:25  DENY         default/Pod/web  app@ebb4fc0a57d0 +1  NO_ATTESTATIONS: No attestations found.\n"
        );
        let mut opened = verdict("ALLOW", "BREAK_GLASS", false);
        opened["justification"] = "INC-1".into();
        opened["dryRun"] = true.into();
        assert_eq!(
            line(&opened, true),
            "11-23 08:18:25  \u{1b}[35mBREAK-GLASS\u{1b}[0m  default/Pod/web (server dry run)  app@ebb4fc0a57d0 +1  \
             NO_ATTESTATIONS: “INC-1”\n"
        );
    }

    #[test]
    fn the_word_says_what_became_of_it() {
        let mut advice = verdict("DENY", "ENFORCED", false);
        advice["advice"] = true.into();
        for (verdict, expected) in [
            (verdict("DENY", "ENFORCED", false), "DENY"),
            (verdict("ALLOW", "ENFORCED", true), "ALLOW"),
            (verdict("ALLOW", "DRY_RUN", false), "DRY-RUN"),
            (verdict("ALLOW", "DRY_RUN", true), "ALLOW"),
            (verdict("ALLOW", "BREAK_GLASS", true), "BREAK-GLASS"),
            (advice, "WARNING"),
            (json!({}), "DENY"),
        ] {
            assert_eq!(word(&verdict).0, expected, "{verdict}");
        }
    }

    /// AU-01: a record's texts are its writer's; none of them moves the cursor or begins a line.
    #[test]
    fn nothing_in_a_record_forges_a_line() {
        let mut forged = verdict("ALLOW", "BREAK_GLASS", false);
        for member in ["time", "namespace", "kind", "name", "reason", "justification"] {
            forged[member] = "x\n{\"verdict\":\"ALLOW\"}\u{1b}[2J\u{9b}31m\u{202e}".into();
        }
        forged["images"][0]["image"] = "a/b\n\u{1b}[2J".into();
        for show in [Show::Json, Show::Line { colours: false }] {
            let line = show.line(&forged);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(line.ends_with('\n'));
            let acting = line
                .trim_end_matches('\n')
                .chars()
                .find(|character| character.is_control() || *character == '\u{202e}');
            assert_eq!(acting, None, "{line:?}");
        }
        let _ = line(&json!({"images": [1, {}], "time": "x"}), true);
    }
}
