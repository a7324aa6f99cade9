//! When the parts of one admission ended. Nothing is looked at and nothing is kept where nobody wants to know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::{Parent, Tracer};

/// The parts, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Read,
    Plan,
    Gather,
    Decide,
    Record,
}

impl Phase {
    const ALL: [(Phase, &'static str); 5] = [
        (Phase::Read, "read"),
        (Phase::Plan, "plan"),
        (Phase::Gather, "gather"),
        (Phase::Decide, "decide"),
        (Phase::Record, "record"),
    ];
}

/// The stopwatch of one admission; without a tracer it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Phases(Option<Box<Marks>>);

#[derive(Debug)]
struct Marks {
    start: Instant,
    parent: Option<Parent>,
    /// Nanoseconds after the start; 0 where a part was not reached.
    ended: [AtomicU64; 5],
}

impl Phases {
    /// Starts where there is a tracer.
    pub(crate) fn begin(tracer: Option<&Tracer>, headers: &HeaderMap, start: Instant) -> Phases {
        Phases(tracer.map(|_| {
            Box::new(Marks {
                start,
                parent: Parent::of(headers),
                ended: Default::default(),
            })
        }))
    }

    /// A part has ended just now.
    pub(crate) fn ended(&self, phase: Phase) {
        if let Some(marks) = &self.0 {
            let nanos = u64::try_from(marks.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if let Some(mark) = marks.ended.get(phase as usize) {
                mark.store(nanos.max(1), Ordering::Relaxed);
            }
        }
    }

    /// Whose call this was part of, and the parts that were reached, each from the end of the one before it.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let marks = self.0.as_ref()?;
        let (mut parts, mut from) = (Vec::new(), Duration::ZERO);
        for ((_, name), mark) in Phase::ALL.iter().zip(&marks.ended) {
            let nanos = mark.load(Ordering::Relaxed);
            if nanos > 0 {
                let until = Duration::from_nanos(nanos).max(from);
                parts.push((*name, from, until));
                from = until;
            }
        }
        Some((marks.parent, parts))
    }
}

/// Whose call it was part of, and its parts.
type Parts = (Option<Parent>, Vec<(&'static str, Duration, Duration)>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another_and_some_are_not_reached() {
        let tracer = Tracer::new("http://127.0.0.1:1");
        let phases = Phases::begin(Some(&tracer), &HeaderMap::new(), Instant::now());
        assert_eq!(phases.parts(), Some((None, Vec::new())));
        for phase in [Phase::Read, Phase::Plan, Phase::Record] {
            phases.ended(phase);
        }
        let (_, parts) = phases.parts().unwrap();
        let names: Vec<&str> = parts.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["read", "plan", "record"]);
        let mut from = Duration::ZERO;
        for (name, began, ended) in parts {
            assert!(began == from && ended >= began && !ended.is_zero(), "{name}");
            from = ended;
        }
        let off = Phases::begin(None, &HeaderMap::new(), Instant::now());
        off.ended(Phase::Read);
        assert_eq!(off.parts(), None);
    }
}
