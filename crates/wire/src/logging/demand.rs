//! Which texts an entry must have for a query to want it: for whoever keeps a short list of what is in many entries.

/// A condition on the texts of an entry that every entry a query wants fulfils. Texts are folded: NFKC, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand<'q> {
    /// No text is needed that could be told.
    Nothing,
    /// Each of them.
    All(Vec<Demand<'q>>),
    /// One of them.
    Any(Vec<Demand<'q>>),
    /// A value or a key that contains this.
    Within(&'q str),
    /// A value that is this.
    Is(&'q str),
}

impl<'q> Demand<'q> {
    /// Each of the parts, without those that ask for nothing.
    pub(super) fn all(parts: impl IntoIterator<Item = Demand<'q>>) -> Demand<'q> {
        let mut parts: Vec<Demand<'q>> = parts
            .into_iter()
            .filter(|part| *part != Demand::Nothing)
            .collect();
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Demand::Nothing,
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                Demand::All(parts)
            }
        }
    }

    /// One of the parts: where one of them asks for nothing, nothing is needed.
    pub(super) fn any(parts: impl IntoIterator<Item = Demand<'q>>) -> Demand<'q> {
        let parts: Vec<Demand<'q>> = parts.into_iter().collect();
        if parts.contains(&Demand::Nothing) {
            return Demand::Nothing;
        }
        Demand::Any(parts)
    }
}
