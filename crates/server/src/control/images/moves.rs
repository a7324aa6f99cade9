//! Tags on their way from one version to another.
//!
//! `gcloud artifacts docker tags add` moves a tag by deleting it and creating it again. A registry that cannot delete
//! tags can still overwrite them, so the deletion is answered as done and the creation that must follow overwrites. Both
//! must be of the same command by the same caller, and the tag must name what it named in between.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use binauthz_core::image::Digest;
use binauthz_core::time::UnixTime;
use binauthz_registry::Manifest;

use super::super::call::Call;

/// What the user agent of that command says; `tags delete` says something else.
const COMMAND: &str = "command/gcloud.artifacts.docker.tags.add";
const INVOCATION: &str = "invocation-id/";
/// The command's next request comes at once; a minute is for a machine that is busy.
const KEPT_SECONDS: i64 = 60;
/// Moves under way at once: at 500 bytes each 500 KB. The oldest makes room.
const MOST: usize = 1_000;

/// A tag that one run of the command is about to overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    tag: String,
    /// What the tag named when its deletion was asked for.
    from: Digest,
    principal: String,
    invocation: String,
}

/// Whether a call is of the command that moves tags, and says which run of it.
pub(super) fn is_move(call: &Call) -> bool {
    invocation(call.user_agent()).is_some()
}

/// The run of the command that a user agent names.
fn invocation(user_agent: &str) -> Option<&str> {
    let mut words = user_agent.split(' ');
    words.clone().find(|word| *word == COMMAND)?;
    words
        .find_map(|word| word.strip_prefix(INVOCATION))
        .filter(|id| !id.is_empty())
}

impl Move {
    /// The move that a call would make of a tag that names `there`.
    pub(super) fn of(call: &Call, tag: String, there: &Manifest) -> Move {
        Move {
            tag,
            from: *there.digest(),
            principal: call.caller.principal().to_owned(),
            invocation: invocation(call.user_agent()).unwrap_or_default().to_owned(),
        }
    }
}

/// The moves under way.
#[derive(Debug, Default)]
pub(crate) struct TagMoves(Mutex<VecDeque<(UnixTime, Move)>>);

impl TagMoves {
    /// Lets the creation that follows overwrite the tag.
    pub(super) fn remember(&self, planned: Move, now: UnixTime) {
        let mut moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moves.len() >= MOST {
            moves.pop_front();
        }
        moves.push_back((now, planned));
    }

    /// Whether the tag may be overwritten, once.
    pub(super) fn take(&self, wanted: &Move, now: UnixTime) -> bool {
        let mut moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moves.retain(|(since, _)| now.as_seconds() - since.as_seconds() < KEPT_SECONDS);
        if wanted.invocation.is_empty() {
            return false;
        }
        let position = moves.iter().position(|(_, planned)| planned == wanted);
        position.and_then(|position| moves.remove(position)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_000_000);

    fn planned(tag: &str, invocation: &str) -> Move {
        Move {
            tag: tag.to_owned(),
            from: Digest::from_bytes([1; 32]),
            principal: "admin".to_owned(),
            invocation: invocation.to_owned(),
        }
    }

    fn later(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(NOW.as_seconds() + seconds)
    }

    #[test]
    fn a_move_is_made_once_by_its_own_run_and_soon() {
        let moves = TagMoves::default();
        moves.remember(planned("t", "a"), NOW);
        let other_digest = Move {
            from: Digest::from_bytes([2; 32]),
            ..planned("t", "a")
        };
        let other_caller = Move {
            principal: "token:x".to_owned(),
            ..planned("t", "a")
        };
        for wrong in [
            planned("t", "b"),
            planned("u", "a"),
            planned("t", ""),
            other_digest,
            other_caller,
        ] {
            assert!(!moves.take(&wrong, NOW), "{wrong:?}");
        }
        assert!(moves.take(&planned("t", "a"), later(59)));
        assert!(!moves.take(&planned("t", "a"), later(59)), "once");
        moves.remember(planned("t", "a"), NOW);
        assert!(!moves.take(&planned("t", "a"), later(60)), "too late");
        moves.remember(planned("t", ""), NOW);
        assert!(!moves.take(&planned("t", ""), NOW), "no run at all");
    }

    #[test]
    fn the_oldest_makes_room() {
        let moves = TagMoves::default();
        for number in 0..=MOST {
            moves.remember(planned(&number.to_string(), "a"), NOW);
        }
        assert!(!moves.take(&planned("0", "a"), NOW));
        assert!(moves.take(&planned("1", "a"), NOW));
    }

    #[test]
    fn only_tags_add_moves() {
        let agent = |command: &str| {
            format!("google-cloud-sdk gcloud/528.0.0 command/{command} invocation-id/ab12 environment/None")
        };
        assert_eq!(
            invocation(&agent("gcloud.artifacts.docker.tags.add")),
            Some("ab12")
        );
        for command in [
            "gcloud.artifacts.docker.tags.delete",
            "gcloud.artifacts.docker.tags.add.more",
            "gcloud.artifacts.docker.images.delete",
        ] {
            assert_eq!(invocation(&agent(command)), None, "{command}");
        }
        assert_eq!(invocation(COMMAND), None);
        assert_eq!(invocation(&format!("{COMMAND} invocation-id/")), None);
    }
}
