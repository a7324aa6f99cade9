//! ID tokens of an OpenID provider that others wrote: somebody logs in there, and the token they get opens this server.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, tools};
use serde_json::json;

/// The provider as a process of its own. Dropping it kills it.
struct Provider {
    child: Child,
    url: String,
}

impl Provider {
    fn start() -> Option<Provider> {
        const NAME: &str = "oidc-provider-mock";
        if !tools::needs(&[NAME, "curl", "jq"]) {
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        drop(listener);
        let user = |sub: &str, email: &str, is_verified: bool| {
            json!({ "sub": sub, "email": email, "email_verified": is_verified, "groups": ["signers", "ops"] })
                .to_string()
        };
        let child = Command::new(tools::openid_provider()?)
            .args(["--port", &address.port().to_string()])
            .args(["--user-claims", &user("jane", "jane@example.com", true)])
            .args(["--user-claims", &user("mallory", "jane@example.com", false)])
            .args(["--user-claims", &user("joe", "joe@elsewhere.example", true)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider starts");
        let provider = Provider {
            child,
            url: format!("http://{address}"),
        };
        // A server that cannot fetch the keys when it starts tries again after ten seconds.
        let is_up = || TcpStream::connect(address).ok();
        poll_until(Duration::from_secs(60), is_up).expect("the provider listens");
        Some(provider)
    }

    /// A desk whose server believes it.
    fn desk(&self, entry: &str) -> Option<Desk> {
        let issuer = format!(
            "issuers: [{{issuer: '{}', audiences: [binauthz], {entry}}}]\n",
            self.url
        );
        let mut desk = Desk::with_configuration(&["curl", "jq"], &issuer)?;
        desk.shell.set("ISSUER", self.url.clone());
        Some(desk)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs in by the authorization code flow, as an application does; a word of the answer.
fn login(desk: &Desk, user: &str, client: &str, word: &str) -> String {
    let script = format!(
        r#"set -o pipefail
        back=http://127.0.0.1:1/back
        ask="client_id={client}&redirect_uri=$back&response_type=code&scope=openid%20email"
        to=$(curl -sSf -o /dev/null -w '%{{redirect_url}}' --data-urlencode sub={user} "$ISSUER/oauth2/authorize?$ask")
        code=$(printf %s "$to" | sed -n 's/.*[?&]code=\([^&]*\).*/\1/p')
        curl -sSf -u {client}:secret -d grant_type=authorization_code -d "code=$code" -d "redirect_uri=$back" \
          "$ISSUER/oauth2/token" | jq -re .{word}"#
    );
    desk.ok(&script).text().to_owned()
}

const POLICY: &str = "/v1/projects/demo/policy";

fn grant(desk: &Desk, member: &str) {
    let binding = json!({ "role": "roles/binaryauthorization.policyViewer", "members": [member] });
    let policy = json!({ "policy": { "bindings": [binding] } });
    desk.api("POST", "/v1/projects/demo:setIamPolicy", Some(&policy))
        .ok();
}

fn status(desk: &Desk, token: &str) -> u16 {
    desk.api_as(Some(token), "GET", POLICY, None).status
}

#[test]
fn who_logs_in_elsewhere_may_here_what_policies_give_them() {
    let Some(provider) = Provider::start() else { return };
    let Some(desk) = provider.desk("attributes: [groups]") else {
        return;
    };
    let place = provider.url.trim_start_matches("http://");
    let token = login(&desk, "jane", "binauthz", "id_token");
    assert_eq!(status(&desk, &token), 403, "known, and without a right");
    let subject = format!("principal://{place}/subject/jane");
    let refused = desk.api_as(Some(&token), "GET", POLICY, None).text;
    assert!(refused.contains(&subject), "{refused}");
    grant(&desk, &subject);
    assert_eq!(status(&desk, &token), 200);
    desk.write("jane.token", &token);
    desk.ok("binauthz policy export --project=demo --data-dir=$DATA --token-file=jane.token");
    // Somebody else of the same provider, until a group of theirs is granted something; a token for another application; one that is no ID token; one that was changed.
    let joe = login(&desk, "joe", "binauthz", "id_token");
    assert_eq!(status(&desk, &joe), 403);
    grant(&desk, &format!("principalSet://{place}/attribute.groups/others"));
    assert_eq!(status(&desk, &joe), 403);
    grant(&desk, &format!("principalSet://{place}/attribute.groups/signers"));
    assert_eq!(status(&desk, &joe), 200);
    let foreign = login(&desk, "jane", "another", "id_token");
    assert_eq!(status(&desk, &foreign), 401);
    let access = login(&desk, "jane", "binauthz", "access_token");
    assert_eq!(status(&desk, &access), 401);
    let (head, signature) = token.rsplit_once('.').expect("it has three parts");
    let (_, other) = foreign.rsplit_once('.').expect("it has three parts");
    assert_ne!(signature, other);
    assert_eq!(status(&desk, &format!("{head}.{other}")), 401);
}

#[test]
fn an_address_counts_where_the_provider_vouches_for_it() {
    let Some(provider) = Provider::start() else { return };
    let Some(desk) = provider.desk("principal: email, emailDomains: [example.com]") else {
        return;
    };
    grant(&desk, "user:jane@example.com");
    for (user, expected) in [("jane", 200), ("mallory", 401), ("joe", 401)] {
        let token = login(&desk, user, "binauthz", "id_token");
        assert_eq!(status(&desk, &token), expected, "{user}");
    }
}
