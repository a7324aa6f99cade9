//! Notices by e-mail, to mail servers that behave and to such that do not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::time::UnixTime;
use binauthz_server::alert::channel::{Channel, Email, LONGEST_WAIT, Mailer, Message, SendError};
use binauthz_server::alert::series::Key;
use binauthz_server::alert::{Incident, Notice};
use binauthz_server::{Flags, Security, Smtp};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Desk, flags, install_crypto_provider};

/// What a mail server does when it hears a command that begins with a word; the empty word is the greeting.
#[derive(Clone, Copy)]
enum Does {
    Well,
    Says(&'static str, &'static str),
    /// What it offers, and what it says to a login.
    LogsIn(&'static str, &'static str),
    Hangs(&'static str),
    Floods(&'static str),
}

/// A mail server of one connection at a time, and what it heard.
struct Post {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Post {
    async fn new(does: Does) -> Post {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = serve(stream, does, &kept).await;
            }
        });
        Post { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

async fn serve(stream: TcpStream, does: Does, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut command = String::new();
    let mut is_message = false;
    loop {
        let word = command
            .split([' ', ':', '\r'])
            .next()
            .unwrap_or_default()
            .to_owned();
        match does {
            Does::Says(at, reply) if at == word => {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
            Does::LogsIn(reply, _) if word == "EHLO" => {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
            Does::LogsIn(_, reply) if word == "AUTH" => {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
            Does::Hangs(at) if at == word => tokio::time::sleep(Duration::from_secs(60)).await,
            Does::Floods(at) if at == word => loop {
                stream.write_all(b"250-more\r\n").await?;
            },
            _ => {
                let reply = match word.as_str() {
                    "" => "220 here",
                    "EHLO" => "250-here\r\n250 SIZE 1000000",
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    _ => "250 ok",
                };
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
        }
        is_message |= word == "DATA";
        loop {
            command.clear();
            if stream.read_line(&mut command).await? == 0 {
                return Ok(());
            }
            heard.lock().unwrap().push(command.trim_end().to_owned());
            if !is_message || command == ".\r\n" {
                is_message = false;
                break;
            }
        }
    }
}

fn smtp(port: u16) -> Smtp {
    Smtp {
        host: "127.0.0.1".into(),
        port,
        security: Security::None,
        login: None,
        from: "binauthz@example.com".into(),
        authorities: None,
    }
}

async fn send(smtp: &Smtp) -> Result<(), SendError> {
    install_crypto_provider();
    let notice = Notice {
        incident: Incident {
            id: "i7".into(),
            policy: "projects/p/alertPolicies/1".into(),
            condition: "projects/p/alertPolicies/1/conditions/1".into(),
            started: UnixTime::from_seconds(7),
            renewed: UnixTime::from_seconds(7),
            notified: UnixTime::from_seconds(7),
            ended: None,
            metric_type: "m".into(),
            about: Key::default(),
            summary: "a condition holds\r\n.\r\nRCPT TO:<evil@example.com>".into(),
        },
        project: "p".into(),
        policy_name: "Blocked".into(),
        condition_name: "C".into(),
        documentation: String::new(),
        user_labels: Vec::new(),
        channels: Vec::new(),
        is_wanted: true,
    };
    let message = Message {
        delivery: "d1",
        now: UnixTime::from_seconds(1_800_000_000),
        notice: &notice,
    };
    let channel = Email::new(Mailer::new(smtp).unwrap(), "oncall@example.com".into());
    let outcome = channel.send(&message).await;
    if let Err(error) = &outcome {
        let said = error.to_string();
        assert!(!said.contains("127.0.0.1") && !said.contains("hush"), "{said}");
    }
    outcome
}

#[tokio::test]
async fn a_notice_is_one_message_to_one_address() {
    let post = Post::new(Does::Well).await;
    assert_eq!(send(&smtp(post.port)).await, Ok(()));
    let heard = post.heard();
    let (commands, message) = heard.split_once("\nDATA\n").unwrap();
    assert_eq!(
        commands,
        "EHLO [127.0.0.1]\nMAIL FROM:<binauthz@example.com>\nRCPT TO:<oncall@example.com>"
    );
    let (head, body) = message.split_once("\n\n").unwrap();
    assert!(head.contains("Message-ID: <d1@example.com>"), "{head}");
    let body = body.split("\n.").next().unwrap().replace('\n', "");
    let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    assert!(
        body.contains("a condition holds") && body.contains("Policy:    Blocked"),
        "{body}"
    );
    // What was told is in the subject and in the text, and nowhere a command or the end.
    assert!(
        head.replace("\n ", " ")
            .contains("\nSubject: [open] Blocked: a condition holds . RCPT TO:<evil@"),
        "{head}"
    );
    let ends = heard.lines().filter(|line| line.starts_with('.')).count();
    assert_eq!(ends, 1, "{heard}");
    assert!(!heard.contains("\nRCPT TO:<evil"), "{heard}");
}

#[tokio::test]
async fn what_a_mail_server_says_is_understood() {
    for word in ["", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for (reply, is_later) in [
            ("421 busy", true),
            ("450 hush", true),
            ("550 hush", false),
            ("554-hush\r\n554 hush", false),
            ("999 what", true),
            ("hush", true),
            ("25", true),
            ("2x0 hush", true),
        ] {
            let post = Post::new(Does::Says(word, reply)).await;
            let outcome = send(&smtp(post.port)).await;
            let is_right = match &outcome {
                Err(SendError::Later(_)) => is_later,
                Err(SendError::Never(_)) => !is_later,
                Ok(()) => false,
            };
            assert!(is_right, "{word}: {reply}: {outcome:?}");
        }
    }
    // Another number of the same kind is as good: the address is not local, and will be forwarded.
    let post = Post::new(Does::Says("RCPT", "251 forwarded")).await;
    assert_eq!(send(&smtp(post.port)).await, Ok(()));
    // So is one without a text, in another alphabet, or with a blank line, none of which the library likes.
    for reply in ["250", "250 gr\u{fc}n", "250-a\r\n250-  \r\n250 b", "250-ok\n250"] {
        let post = Post::new(Does::Says("EHLO", reply)).await;
        assert_eq!(send(&smtp(post.port)).await, Ok(()), "{reply:?}");
    }
    // The reason says at what it happened.
    let post = Post::new(Does::Says("RCPT", "550 hush")).await;
    let outcome = send(&smtp(post.port)).await;
    let why = "the mail server answered 550 to the address".to_owned();
    assert_eq!(outcome, Err(SendError::Never(why)));
    // Who does not go on after DATA is sent no message: it would read commands there.
    let post = Post::new(Does::Says("DATA", "250 hush")).await;
    let outcome = send(&smtp(post.port)).await;
    let why = "the mail server answered 250 to DATA".to_owned();
    assert_eq!(outcome, Err(SendError::Later(why)));
    assert!(post.heard().ends_with("\nDATA"), "{}", post.heard());
    // What is said once the message was taken changes nothing.
    let post = Post::new(Does::Says("QUIT", "500 hush")).await;
    assert_eq!(send(&smtp(post.port)).await, Ok(()));
}

#[tokio::test]
async fn a_mail_server_that_hangs_or_never_ends_is_left() {
    let started = Instant::now();
    let (hung, silent, taken) = tokio::join!(
        async { send(&smtp(Post::new(Does::Hangs("RCPT")).await.port)).await },
        async { send(&smtp(Post::new(Does::Hangs("")).await.port)).await },
        async { send(&smtp(Post::new(Does::Hangs("QUIT")).await.port)).await },
    );
    // It has the message: sent once more, that would arrive twice.
    assert_eq!(taken, Ok(()));
    for outcome in [hung, silent] {
        assert!(matches!(outcome, Err(SendError::Later(_))), "{outcome:?}");
    }
    assert!(started.elapsed() < LONGEST_WAIT + Duration::from_secs(3));
    let started = Instant::now();
    let flooded = send(&smtp(Post::new(Does::Floods("EHLO")).await.port)).await;
    assert_eq!(
        flooded,
        Err(SendError::Later("the mail server says too much".to_owned()))
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let nobody = send(&smtp(1)).await;
    assert!(matches!(nobody, Err(SendError::Later(_))), "{nobody:?}");
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hush\n").unwrap();
    let secured = |port, security| Smtp {
        security,
        login: Some(("user".into(), file.clone())),
        ..smtp(port)
    };
    // Not offered, offered under another name, and offered but not meant.
    for (does, says) in [
        (Does::Well, "does not offer STARTTLS"),
        (
            Does::Says("EHLO", "250-here\r\n250 XSTARTTLS"),
            "does not offer STARTTLS",
        ),
        (Does::Says("EHLO", "250 STARTTLS"), "answered 250 to STARTTLS"),
    ] {
        let post = Post::new(does).await;
        let outcome = send(&secured(post.port, Security::Starttls)).await;
        assert!(
            matches!(&outcome, Err(SendError::Later(why)) if why.contains(says)),
            "{outcome:?}"
        );
        let heard = post.heard();
        assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
    }
    let post = Post::new(Does::Well).await;
    let outcome = send(&secured(post.port, Security::Tls)).await;
    assert!(matches!(outcome, Err(SendError::Later(_))), "{outcome:?}");
    let heard = post.heard();
    assert!(!heard.contains("AUTH") && !heard.contains("EHLO"), "{heard}");
}

#[tokio::test]
async fn a_password_is_said_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hush\n").unwrap();
    for (offers, reply, expected) in [
        ("250-here\r\n250 AUTH LOGIN PLAIN", "235 in", None),
        ("250-here\r\n250-auth plain\r\n250 SIZE 9", "235 in", None),
        (
            "250-here\r\n250 AUTH LOGIN",
            "235 in",
            Some("does not offer AUTH PLAIN"),
        ),
        (
            "250-here\r\n250 SIZE 9",
            "235 in",
            Some("does not offer AUTH PLAIN"),
        ),
        (
            "250-here\r\n250 AUTH PLAIN",
            "535 no",
            Some("answered 535 to the login"),
        ),
        (
            "250-here\r\n250 AUTH PLAIN",
            "334 more",
            Some("answered 334 to the login"),
        ),
        (
            "250-here\r\n250 AUTH PLAIN",
            "250 ok",
            Some("answered 250 to the login"),
        ),
    ] {
        let post = Post::new(Does::LogsIn(offers, reply)).await;
        let outcome = send(&Smtp {
            login: Some(("user".into(), file.clone())),
            ..smtp(post.port)
        })
        .await;
        let heard = post.heard();
        match expected {
            None => assert_eq!(outcome, Ok(()), "{offers}"),
            Some(why) => {
                let said = outcome.unwrap_err().to_string();
                assert!(said.contains(why), "{offers}: {said}");
                assert!(!heard.contains("MAIL"), "{heard}");
            }
        }
        let is_said = heard.contains(&format!("AUTH PLAIN {}", STANDARD.encode("\0user\0hush")));
        assert_eq!(
            is_said,
            !expected.is_some_and(|why| why.contains("not offer")),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_ends_it() {
    // At once, where it could be kept; and once TLS begins, which it breaks.
    for (at_once, later, expected) in [
        (
            "220 go\r\n250 evil\r\n",
            "",
            "the mail server spoke before TLS had begun",
        ),
        (
            "220 go\r\n",
            "250 evil\r\n",
            "no TLS with the mail server: is its certificate trusted?",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let spoken = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.write_all(b"220 here\r\n").await.unwrap();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(b"250 STARTTLS\r\n").await.unwrap();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(at_once.as_bytes()).await.unwrap();
            // The first byte of a TLS record, if one comes.
            let first = stream.read_u8().await.ok();
            let _ = stream.write_all(later.as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            first
        });
        let smtp = Smtp {
            security: Security::Starttls,
            ..smtp(port)
        };
        assert_eq!(send(&smtp).await, Err(SendError::Later(expected.to_owned())));
        assert_eq!(spoken.await.unwrap(), (!later.is_empty()).then_some(22));
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, "\n").unwrap();
    let with_password = |path: std::path::PathBuf| Smtp {
        login: Some(("user".into(), path)),
        ..smtp(1)
    };
    for (smtp, expected) in [
        (with_password(file.clone()), "expected a password"),
        (with_password(folder.path().join("missing")), "missing"),
        (
            Smtp {
                authorities: Some(file.clone()),
                ..smtp(1)
            },
            "expected PEM",
        ),
        (
            Smtp {
                host: "a b".into(),
                ..smtp(1)
            },
            "smtp.host",
        ),
        (
            Smtp {
                from: "nobody".into(),
                ..smtp(1)
            },
            "smtp.from",
        ),
    ] {
        let error = Mailer::new(&smtp).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_channel_by_mail_needs_a_mail_server() {
    const CHANNELS: &str = "/v3/projects/p/notificationChannels";
    let email = json!({ "type": "email", "labels": {"email_address": "oncall@example.com"} });
    let without = Desk::new().await;
    without
        .post(CHANNELS, email.clone())
        .await
        .refused("FAILED_PRECONDITION", "`smtp` is missing");
    let hook = json!({ "type": "webhook_tokenauth", "labels": {"url": "http://127.0.0.1:1/"} });
    let made = without.post(CHANNELS, hook).await.ok();
    without
        .patch(&format!("/v3/{}", made["name"].as_str().unwrap()), email.clone())
        .await
        .refused("FAILED_PRECONDITION", "`smtp` is missing");

    let post = Post::new(Does::Well).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    let block = format!("smtp: {}\n", smtp(post.port));
    std::fs::write(&config, block).unwrap();
    let flags = Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    let made = desk.post(CHANNELS, email).await.ok();
    let path = format!("/v3/{}:sendVerificationCode", made["name"].as_str().unwrap());
    desk.post(&path, json!({})).await.ok();
    assert!(
        post.heard().contains("RCPT TO:<oncall@example.com>"),
        "{}",
        post.heard()
    );
}
