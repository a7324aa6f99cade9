//! What a trace says of an admission: an explicit list, as short as the metrics' and with names.

use super::about::{About, Text};
use super::counters::Counted;
use super::deadline::Deadlines;
use crate::app::App;
use crate::trace::{Attribute, Finished};

/// Leaves a recorded verdict on so many images for the exporter, where there is one.
pub(super) fn tell(app: &App, about: &About, (counted, images): (Counted, usize), deadlines: &Deadlines) {
    let Some(tracer) = &app.tracer else { return };
    let Some((parent, parts)) = deadlines.phases().parts() else {
        return;
    };
    let text = |text: &str| Attribute::Text(text.to_owned());
    let (reason, effect, admitted) = counted.words();
    let images = u64::try_from(images).unwrap_or(u64::MAX);
    tracer.tell(Finished {
        name: "admission".to_owned(),
        parent,
        ended: (app.clock)(),
        took: deadlines.start().elapsed(),
        attributes: vec![
            ("binauthz.cluster", text(about.text(Text::Cluster))),
            ("k8s.namespace.name", text(about.text(Text::Namespace))),
            ("binauthz.kind", text(about.text(Text::Kind))),
            ("binauthz.verdict", text(if admitted { "allow" } else { "deny" })),
            ("binauthz.reason", text(reason)),
            ("binauthz.effect", text(effect)),
            ("binauthz.images", Attribute::Number(images)),
        ],
        parts,
        failed: false,
    });
}
