//! What is written at the emergency doors, whether it opens them or not.

/// What is written at one emergency door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Door<'a> {
    /// The value of the label.
    pub label: Option<&'a str>,
    /// The value of the annotation.
    pub annotation: Option<&'a str>,
}

/// The emergency doors of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doors<'a> {
    /// In its own metadata.
    pub own: Door<'a>,
    /// In its pod template's.
    pub template: Door<'a>,
}

impl Doors<'_> {
    /// Whether nothing is written at any of them.
    pub fn are_unwritten(&self) -> bool {
        *self == Doors::default()
    }
}
