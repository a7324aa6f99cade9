//! What the audience sees: never wider than 100 columns, coloured only on a terminal that wants it.

use std::{
    io::{IsTerminal, stdout},
    path::Path,
};

use crate::{
    failure::Failure,
    output::{plain, print},
};

const WIDTH: usize = 100;
const INDENT: &str = "     ";

/// The terminal, and how far the story is.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
    step: usize,
    /// The first line that could not be shown. The play goes on and fails at its end.
    failure: Option<Failure>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Title,
    Command,
    Refusal,
    Quiet,
    Proof,
    Text,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Title => "1",
            Style::Command => "36",
            Style::Refusal => "31",
            Style::Quiet => "2",
            Style::Proof => "32",
            Style::Text => "",
        }
    }
}

impl Screen {
    /// For standard output as it is: a terminal or not, `NO_COLOR` set or not.
    pub(super) fn for_terminal() -> Screen {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen {
            colour: stdout().is_terminal() && !set("NO_COLOR") && !dumb,
            step: 0,
            failure: None,
        }
    }

    /// Whether everything was shown.
    pub(super) fn shown(&mut self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn print(&mut self, text: &str) {
        if let Err(failure) = print(text) {
            self.failure.get_or_insert(failure);
        }
    }

    /// What will be seen, and what is real about it.
    pub(super) fn opening(&mut self) {
        self.line(Style::Title, "", "binauthz: only signed images get to run");
        let text = "A server starts on this machine. Every command below is run against its API; every deployment is \
                    the AdmissionReview that a Kubernetes API server sends, through the webhook's TLS port.";
        self.text(Style::Quiet, "", text);
    }

    /// The next step.
    pub(super) fn title(&mut self, text: &str) {
        self.step += 1;
        let number = format!("{:>2}.", self.step);
        self.print("\n");
        self.line(Style::Title, "", &format!("{number}  {text}"));
    }

    /// A command, as a person types it.
    pub(super) fn command(&mut self, words: &[String]) {
        for line in wrap_command(words, WIDTH - INDENT.len()) {
            self.line(Style::Command, INDENT, &line);
        }
    }

    /// What a command or a server answered.
    pub(super) fn answer(&mut self, text: &str) {
        for line in text.lines() {
            self.text(Style::Text, INDENT, line);
        }
    }

    /// A refusal, broken where the tutorial breaks it.
    pub(super) fn refusal(&mut self, text: &str) {
        for line in text
            .replace(" denied by attestor", "\ndenied by attestor")
            .lines()
        {
            self.text(Style::Refusal, INDENT, line);
        }
    }

    /// What the step has shown.
    pub(super) fn proof(&mut self, text: &str) {
        self.text(Style::Proof, "   ", &format!("✓ {text}"));
    }

    /// The last line of a story that came out well.
    pub(super) fn ending(&mut self, text: &str) {
        self.print("\n");
        self.text(Style::Title, "", text);
    }

    /// How to go on with the server that is left running.
    pub(super) fn keeping(&mut self, data_dir: &Path, manifest: &Path) {
        let data_dir = data_dir.display();
        self.print("\n");
        self.line(
            Style::Title,
            "",
            "The server keeps running until Ctrl-C. In another terminal:",
        );
        for (why, command) in [
            (
                "point gcloud, and this program, at it",
                format!("eval \"$(binauthz env --data-dir {data_dir} --project demo)\""),
            ),
            (
                "try it",
                "gcloud container binauthz attestations list --attestor=image-signing-attestor".to_owned(),
            ),
            (
                "let a cluster on this machine ask it",
                format!("kubectl apply -f {}", manifest.display()),
            ),
        ] {
            self.line(Style::Quiet, INDENT, &format!("# {why}"));
            // Not wrapped: it is there to be copied.
            self.line(Style::Command, INDENT, &command);
        }
    }

    fn text(&mut self, style: Style, indent: &str, text: &str) {
        for line in wrap(&shorten_digests(text), WIDTH - indent.len()) {
            self.line(style, indent, &line);
        }
    }

    fn line(&mut self, style: Style, indent: &str, text: &str) {
        let text = plain(text);
        if self.colour && !style.code().is_empty() {
            self.print(&format!("{indent}\u{1b}[{}m{text}\u{1b}[0m\n", style.code()));
        } else {
            self.print(&format!("{indent}{text}\n"));
        }
    }
}

/// A digest is 64 digits of which a reader looks at a few.
pub(super) fn shorten_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str("sha256:");
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        if digits == 64 {
            out.extend(part.chars().take(12));
            out.push('…');
            out.extend(part.chars().skip(64));
        } else {
            out.push_str(part);
        }
    }
    out
}

/// Lines of at most `width` characters; continuation lines are indented by two.
fn wrap(text: &str, width: usize) -> Vec<String> {
    // The indentation of the text itself is kept: a table stays a table.
    let leading: String = text.chars().take_while(|c| *c == ' ').collect();
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = leading;
    for word in text.split_whitespace() {
        let room = width.saturating_sub(line.chars().count() + 1);
        if !line.trim().is_empty() && word.chars().count() > room {
            lines.push(std::mem::replace(&mut line, "  ".to_owned()));
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.into_iter().flat_map(|line| cut(&line, width)).collect()
}

/// Cuts what has no blank to break at.
fn cut(line: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    characters
        .chunks(width.max(1))
        .map(|chunk| chunk.iter().collect())
        .collect()
}

/// A command on lines joined by backslashes, its flags never torn apart.
fn wrap_command(words: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "$".to_owned();
    for word in words {
        let word = shorten_digests(&quoted(word));
        if line.chars().count() + 1 + word.chars().count() + 2 > width && line.trim() != "$" {
            lines.push(format!("{line} \\"));
            line = "     ".to_owned();
        } else {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

/// As a shell needs it; of a flag only the value is quoted.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") && flag.chars().all(plain) => {
            format!("{flag}='{value}'")
        }
        _ => format!("'{word}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

    #[test]
    fn nothing_is_wider_than_the_screen() {
        let long = "word ".repeat(60) + &"x".repeat(250);
        for line in wrap(&long, 95) {
            assert!(line.chars().count() <= 95, "{line}");
        }
        let words: Vec<String> = (0..20)
            .map(|index| format!("--flag-number-{index}=value"))
            .collect();
        for line in wrap_command(&words, 95) {
            assert!(line.chars().count() <= 95, "{line}");
        }
        assert_eq!(wrap("short", 95), ["short"]);
    }

    #[test]
    fn digests_are_shortened_and_only_they() {
        assert_eq!(
            shorten_digests(&format!("a@{DIGEST} b")),
            "a@sha256:ebb4fc0a57d0… b"
        );
        assert_eq!(shorten_digests("a@sha256:abc"), "a@sha256:abc");
        assert_eq!(shorten_digests("nothing"), "nothing");
    }

    #[test]
    fn a_command_can_be_copied() {
        let words = ["binauthz".to_owned(), "--format=table(a, b)".to_owned()];
        assert_eq!(wrap_command(&words, 95), ["$ binauthz --format='table(a, b)'"]);
    }
}
