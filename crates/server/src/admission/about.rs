//! What a verdict is about, for the record. No environment, no secret: an explicit list.

use std::fmt::Write as _;

use binauthz_wire::admission_review::Review;
use binauthz_wire::image_review::ImageReview;
use binauthz_wire::workload::{self, Workload};

use super::request::Target;

/// The texts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Cluster,
    Uid,
    Operation,
    Group,
    Version,
    Kind,
    SubResource,
    Namespace,
    User,
    Name,
    /// Of the Pods; empty where it is not known.
    ServiceAccount,
}

impl Text {
    pub(super) const COUNT: usize = 11;
}

/// What a verdict is about. Every admission makes one, so its texts share one allocation.
#[derive(Debug, Default)]
pub(super) struct About {
    /// One after the other, in the order of [`Text`].
    texts: String,
    /// Where each of them ends.
    ends: [u32; Text::COUNT],
    pub(super) dialect: &'static str,
    /// What is written at the emergency doors; as a rule nothing.
    pub(super) doors: Option<Box<Doors>>,
    pub(super) dry_run: bool,
    /// The verdict was given as a warning only.
    pub(super) advice: bool,
    /// A refusal is told to the cluster, too.
    pub(super) tells: bool,
}

/// The emergency doors of the object itself and of its pod template.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pub(super) own: Door,
    pub(super) template: Door,
}

/// The values of the label and the annotation, as they were written.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) label: Option<String>,
    pub(super) annotation: Option<String>,
}

impl Doors {
    fn of(doors: &workload::Doors<'_>) -> Option<Box<Doors>> {
        let door = |door: &workload::Door<'_>| Door {
            label: door.label.map(str::to_owned),
            annotation: door.annotation.map(str::to_owned),
        };
        (!doors.are_unwritten()).then(|| {
            Box::new(Doors {
                own: door(&doors.own),
                template: door(&doors.template),
            })
        })
    }
}

impl About {
    pub(super) fn review(target: &Target, review: &Review<'_>) -> Self {
        let kind = review.kind();
        let mut about = Self {
            dialect: "AdmissionReview",
            dry_run: review.dry_run(),
            ..Self::of_cluster(target)
        };
        let texts = [
            (Text::Uid, review.uid()),
            (Text::Operation, review.operation()),
            (Text::Group, &kind.group),
            (Text::Version, &kind.version),
            (Text::Kind, &kind.kind),
            (Text::SubResource, review.sub_resource()),
            (Text::Namespace, review.namespace()),
            (Text::User, review.username()),
            (Text::Name, review.name()),
        ];
        for (text, value) in texts {
            about.append(text, value);
        }
        about
    }

    pub(super) fn image_review(target: &Target, review: &ImageReview<'_>) -> Self {
        let mut about = Self {
            dialect: "ImageReview",
            doors: Doors::of(&review.doors()),
            ..Self::of_cluster(target)
        };
        let texts = [
            (Text::Version, "v1"),
            (Text::Kind, "Pod"),
            (Text::Namespace, review.namespace()),
        ];
        for (text, value) in texts {
            about.append(text, value);
        }
        about
    }

    /// With what the object itself says: its doors, its Pods' account, and its name where the request gives none.
    pub(super) fn with(mut self, workload: &Workload<'_>) -> Self {
        if self.text(Text::Name).is_empty() {
            self.append(Text::Name, workload.name());
        }
        self.append(
            Text::ServiceAccount,
            workload.service_account().unwrap_or_default(),
        );
        self.doors = Doors::of(&workload.doors());
        self
    }

    /// Of a verdict that may be a mere warning.
    pub(super) fn advised(mut self, advice: bool) -> Self {
        self.advice = advice;
        self
    }

    fn of_cluster(target: &Target) -> Self {
        // As a rule some 300 bytes in all.
        let mut about = Self {
            texts: String::with_capacity(512),
            ..Self::default()
        };
        // Writing to a string never fails.
        let _ = write!(about.texts, "{}", target.cluster);
        about.end(Text::Cluster);
        about
    }

    /// Appends a text behind those before it; the ones in between are empty.
    fn append(&mut self, text: Text, value: &str) {
        self.texts.push_str(value);
        self.end(text);
    }

    fn end(&mut self, text: Text) {
        // A body has 7 MiB at most.
        let end = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        for later in self.ends.iter_mut().skip(text as usize) {
            *later = end;
        }
    }

    pub(super) fn text(&self, text: Text) -> &str {
        let place = text as usize;
        let start = match place.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        let range = start as usize..self.ends[place] as usize;
        self.texts.get(range).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn of_texts(texts: [&str; Text::COUNT]) -> Self {
        let mut about = Self::default();
        for (place, text) in texts.into_iter().enumerate() {
            about.texts.push_str(text);
            about.ends[place] = u32::try_from(about.texts.len()).unwrap();
        }
        about
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_apart_in_the_order_they_have() {
        let mut about = About::default();
        about.append(Text::Cluster, "cluster");
        about.append(Text::Kind, "Pod");
        about.append(Text::Namespace, "default");
        about.append(Text::Name, "web");
        let read = [
            Text::Cluster,
            Text::Uid,
            Text::Version,
            Text::Kind,
            Text::Namespace,
            Text::User,
            Text::Name,
        ];
        assert_eq!(
            read.map(|text| about.text(text)),
            ["cluster", "", "", "Pod", "default", "", "web"]
        );
        assert_eq!(about.text(Text::ServiceAccount), "");
        let about = About::of_texts(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]);
        assert_eq!(
            (about.text(Text::Cluster), about.text(Text::ServiceAccount)),
            ("a", "k")
        );
    }
}
