//! What a trace says of an admission: an explicit list, as short as the metrics' and with names.

use binauthz_core::decision::Decision;

use super::counters::{EFFECTS, effect_of};
use super::deadline::Deadlines;
use super::record::About;
use crate::app::App;
use crate::trace::{Attribute, Finished};

/// Leaves a recorded verdict for the exporter, where there is one.
pub(super) fn tell(app: &App, about: &About, decision: &Decision, deadlines: &Deadlines) {
    let Some(tracer) = &app.tracer else { return };
    let Some((parent, parts)) = deadlines.phases().parts() else {
        return;
    };
    let text = |text: &str| Attribute::Text(text.to_owned());
    let (effect, admitted) = effect_of(decision, about.advice);
    let effect = EFFECTS.get(effect).copied().unwrap_or_default();
    let images = u64::try_from(decision.findings().len()).unwrap_or(u64::MAX);
    tracer.tell(Finished {
        name: "admission".to_owned(),
        parent,
        ended: (app.clock)(),
        took: deadlines.start().elapsed(),
        attributes: vec![
            ("binauthz.cluster", text(&about.cluster)),
            ("k8s.namespace.name", text(&about.namespace)),
            ("binauthz.kind", text(&about.kind)),
            ("binauthz.verdict", text(if admitted { "allow" } else { "deny" })),
            ("binauthz.reason", text(decision.reason_code())),
            ("binauthz.effect", text(effect)),
            ("binauthz.images", Attribute::Number(images)),
        ],
        parts,
        failed: false,
    });
}
