//! The log entries of Cloud Logging, made from the journal when somebody asks.
//!
//! The journal has a record of each verdict and of each call that changed something. An entry is a rendering of one of
//! them in the shape of Google's audit logs, so that the filters people know find what they expect.

mod calls;
mod cursor;
mod follow;
mod follower;
mod index;
pub(crate) mod labels;
mod list;
mod members;
mod needle;
mod outbox;
mod record;
mod request;
pub(crate) mod shape;
mod veiled;
mod verdicts;
mod words;
mod written;

pub(crate) use calls::NO_PROJECT;
pub(crate) use cursor::{Cursor, Reached};
pub(crate) use follow::{Seen, Verdicts};
pub(crate) use follower::Follower;
pub(crate) use index::{Index, keep_indexes};
pub(crate) use list::{At, Deleted, Indexed, Journals, List, Order, Place, Places, Wanted, names};
pub(crate) use needle::Needle;
pub(crate) use outbox::record_calls;
use record::Kind;
pub(crate) use written::record;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Entry;

/// The log of verdicts and of the API's own calls.
pub(crate) const ACTIVITY: &str = "cloudaudit.googleapis.com%2Factivity";
/// The log of what a policy in dry run would have denied: an entry for each image.
pub(crate) const POLICY: &str = "binaryauthorization.googleapis.com%2Fpolicy";

/// The entries of one line, the first of them first, about a project that is wanted. A line that cannot be read has none.
fn entries_of<T>(
    (kind, time): (Kind, UnixTime),
    line: &[u8],
    is_wanted: &dyn Fn(&str) -> bool,
    each: impl FnMut(Entry<'_>) -> Option<T>,
) -> Vec<T> {
    match kind {
        Kind::Verdict => serde_json::from_slice::<record::Verdict<'_>>(line)
            .ok()
            .filter(|verdict| project_of(&verdict.cluster).is_some_and(is_wanted))
            .map(|verdict| {
                verdicts::render(&verdict, time)
                    .into_iter()
                    .filter_map(each)
                    .collect()
            })
            .unwrap_or_default(),
        Kind::Call => serde_json::from_slice::<record::Call<'_>>(line)
            .ok()
            .filter(|call| is_wanted(calls::project_of(call)))
            .map(|call| {
                Some(calls::render(&call, time))
                    .into_iter()
                    .filter_map(each)
                    .collect()
            })
            .unwrap_or_default(),
        Kind::Entry => written::read(line)
            .filter(|entry| entry.log_name().and_then(project_of).is_some_and(is_wanted))
            .map(|entry| Some(entry).into_iter().filter_map(each).collect())
            .unwrap_or_default(),
    }
}

/// Of these projects.
fn among(projects: &[String]) -> impl Fn(&str) -> bool {
    move |project| projects.iter().any(|wanted| wanted == project)
}

/// The project of a resource's name: `projects/P/…`, anywhere in it.
pub(crate) fn project_of(resource: &str) -> Option<&str> {
    let mut segments = resource.split('/');
    segments.find(|segment| *segment == "projects")?;
    segments.next().filter(|project| !project.is_empty())
}

/// The id of an entry: where its record lies in the log, and which of its record's entries it is.
fn insert_id(sequence: u64, nth: usize) -> String {
    match nth {
        0 => format!("{sequence:016x}"),
        nth => format!("{sequence:016x}-{nth}"),
    }
}
