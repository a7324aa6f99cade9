//! IAM policies in the form that is asked: read once, kept for a second, and read again when one was written here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_store::{Kind, Unavailable};
use binauthz_wire::iam::{self, Binding, TimeCondition};
use binauthz_wire::json::{self, Limits};

use super::custom::CustomRole;
use super::roles::Predefined;
use crate::app::App;

/// How long what another replica wrote may go unseen.
const KEPT: Duration = Duration::from_secs(1);
/// Bytes of documents and names kept. In memory they are at most a few times that; a usual policy has 1 KB, so 8 000 fit.
/// Beyond it everything is forgotten, which costs reading it again.
const MOST_BYTES: usize = 8 << 20;
/// What an entry costs beside its text.
const ENTRY_BYTES: usize = 128;

/// Whom everybody is: there is no caller without a credential.
const EVERYBODY: [&str; 2] = ["allUsers", "allAuthenticatedUsers"];

/// The policies that were asked about lately.
#[derive(Debug, Default)]
pub(crate) struct Policies(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How often something was written: what was read before is not kept after.
    generation: u64,
    bytes: usize,
    known: HashMap<String, (Instant, Arc<Granted>)>,
}

/// What one policy grants.
#[derive(Debug, Default)]
pub(crate) struct Granted(Vec<Grant>);

/// A binding that can be judged.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) role: GrantedRole,
    pub(crate) members: HashSet<String>,
    pub(crate) condition: Option<(String, TimeCondition)>,
}

/// What a binding gives.
#[derive(Debug)]
pub(crate) enum GrantedRole {
    Predefined(&'static Predefined),
    Custom(String, BTreeSet<&'static str>),
}

impl GrantedRole {
    pub(crate) fn name(&self) -> &str {
        match self {
            GrantedRole::Predefined(role) => role.name,
            GrantedRole::Custom(name, _) => name,
        }
    }

    pub(crate) fn includes(&self, permission: &str) -> bool {
        match self {
            GrantedRole::Predefined(role) => role.includes(permission),
            GrantedRole::Custom(_, permissions) => permissions.contains(permission),
        }
    }
}

impl Granted {
    /// Whether one of the names is given the permission now.
    pub(super) fn grants(&self, names: &[String], permission: &str, now: UnixTime) -> bool {
        self.0.iter().any(|grant| {
            let is_member = EVERYBODY
                .iter()
                .any(|everybody| grant.members.contains(*everybody))
                || names.iter().any(|name| grant.members.contains(name));
            is_member
                && grant
                    .condition
                    .as_ref()
                    .is_none_or(|(_, condition)| condition.holds(now))
                && grant.role.includes(permission)
        })
    }

    /// The bindings.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl Policies {
    /// A policy or a role was written. To be called before the writer is told so.
    pub(crate) fn invalidate(&self) {
        let mut inner = self.lock();
        inner.generation = inner.generation.wrapping_add(1);
        inner.forget();
    }

    /// What the policy of this resource grants; nothing if it has none.
    pub(crate) async fn of(&self, app: &App, name: &str) -> Result<Arc<Granted>, Unavailable> {
        let now = Instant::now();
        let generation = {
            let inner = self.lock();
            if let Some((read, granted)) = inner.known.get(name)
                && now.duration_since(*read) < KEPT
            {
                return Ok(Arc::clone(granted));
            }
            inner.generation
        };
        let (granted, bytes) = read(app, name).await?;
        let granted = Arc::new(granted);
        let mut inner = self.lock();
        if inner.generation == generation {
            inner.keep(name, bytes, (now, Arc::clone(&granted)));
        }
        Ok(granted)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }

    /// An entry that is replaced counts twice until all is forgotten, which bounds it all the same.
    fn keep(&mut self, name: &str, bytes: usize, entry: (Instant, Arc<Granted>)) {
        let bytes = bytes.saturating_add(name.len()).saturating_add(ENTRY_BYTES);
        if self.bytes.saturating_add(bytes) > MOST_BYTES {
            self.forget();
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.known.insert(name.to_owned(), entry);
    }
}

/// What a stored policy grants, and how long its document is. What this release cannot read grants nothing.
async fn read(app: &App, name: &str) -> Result<(Granted, usize), Unavailable> {
    let Some(row) = app.store.resource(Kind::IamPolicy, name).await? else {
        return Ok((Granted::default(), 0));
    };
    let value = json::parse(row.document.as_bytes(), Limits::API);
    let policy = value.map(iam::read_policy);
    let Ok(Ok(policy)) = policy else {
        tracing::error!(name, "an IAM policy is in no known form and grants nothing");
        return Ok((Granted::default(), row.document.len()));
    };
    let mut grants = Vec::with_capacity(policy.bindings.len());
    for binding in policy.bindings {
        match grant(app, name, binding).await? {
            Some(grant) => grants.push(grant),
            None => tracing::warn!(
                name,
                "a binding of an IAM policy is not understood and grants nothing"
            ),
        }
    }
    Ok((Granted(grants), row.document.len()))
}

async fn grant(app: &App, name: &str, binding: Binding) -> Result<Option<Grant>, Unavailable> {
    let condition = match binding.condition {
        None => None,
        Some(condition) => match TimeCondition::parse(&condition.expression) {
            Ok(parsed) => Some((condition.expression, parsed)),
            Err(_) => return Ok(None),
        },
    };
    let role = match Predefined::named(&binding.role) {
        Some(role) => GrantedRole::Predefined(role),
        None => match CustomRole::find(app, name, &binding.role).await? {
            Some(role) => GrantedRole::Custom(binding.role, role.permissions()),
            None => return Ok(None),
        },
    };
    Ok(Some(Grant {
        role,
        members: binding.members.into_iter().collect(),
        condition,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(members: &[&str], condition: Option<&str>) -> Granted {
        Granted(vec![Grant {
            role: GrantedRole::Predefined(
                Predefined::named("roles/binaryauthorization.policyViewer").unwrap(),
            ),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            condition: condition.map(|text| (text.to_owned(), TimeCondition::parse(text).unwrap())),
        }])
    }

    #[test]
    fn a_binding_grants_to_its_members_what_its_role_has_while_its_condition_holds() {
        const GET: &str = "binaryauthorization.policy.get";
        let now = UnixTime::from_seconds(1_000_000_000);
        let before = "request.time < timestamp(\"2001-09-09T01:46:40Z\")";
        let after = "request.time >= timestamp(\"2001-09-09T01:46:40Z\")";
        let jane = vec!["user:jane@example.com".to_owned()];
        for (members, condition, permission, expected) in [
            (vec!["user:jane@example.com"], None, GET, true),
            (vec!["user:jane@example.com"], Some(after), GET, true),
            (vec!["user:jane@example.com"], Some(before), GET, false),
            (
                vec!["user:jane@example.com"],
                None,
                "binaryauthorization.policy.update",
                false,
            ),
            (vec!["user:Jane@example.com"], None, GET, false),
            (vec!["user:jane@example.co"], None, GET, false),
            (vec!["allAuthenticatedUsers"], None, GET, true),
            (vec!["allUsers"], Some(before), GET, false),
            (vec![], None, GET, false),
        ] {
            let policy = granted(&members, condition);
            assert_eq!(
                policy.grants(&jane, permission, now),
                expected,
                "{members:?} {condition:?}"
            );
        }
        assert!(!Granted::default().grants(&jane, GET, now));
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let mut inner = Inner::default();
        let entry = || (Instant::now(), Arc::new(Granted::default()));
        for number in 0..100 {
            inner.keep(&format!("projects/p{number}"), MOST_BYTES / 10, entry());
            assert!(inner.bytes <= MOST_BYTES && inner.known.len() <= 10);
        }
        inner.keep("x", usize::MAX, entry());
        assert_eq!(inner.known.len(), 1);
    }
}
