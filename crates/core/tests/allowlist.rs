//! An allowlist is its patterns tried one after the other, only faster.

use binauthz_core::image::{ImagePattern, ImageRef};
use binauthz_core::policy::{Allowlist, MAX_PATTERNS};
use proptest::prelude::*;

const HEX: &str = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

/// What the index must come to: every pattern in its order.
fn tried<'a>(patterns: &'a [ImagePattern], image: &ImageRef) -> Option<&'a ImagePattern> {
    patterns.iter().find(|pattern| pattern.matches(image))
}

/// Few letters, so that patterns and images often begin alike.
fn names() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}", 1..4).prop_map(|parts| parts.join("/"))
}

fn hosts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "r.test/",
        "r.test:5000/",
        "b.test/",
        "[::1]/",
        "localhost/",
    ])
}

fn tags() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ":[ab]{1,2}"]
}

fn images() -> impl Strategy<Value = ImageRef> {
    let digest = prop::sample::select(vec![String::new(), format!("@sha256:{HEX}")]);
    (hosts(), names(), tags(), digest).prop_filter_map("no reference", |(host, name, tag, digest)| {
        format!("{host}{name}{tag}{digest}").parse().ok()
    })
}

/// Prefixes of references with each of the three endings; what is no pattern is left out.
fn patterns() -> impl Strategy<Value = ImagePattern> {
    let end = prop::sample::select(vec!["", "*", "**"]);
    (images(), any::<prop::sample::Index>(), any::<bool>(), end).prop_filter_map(
        "no pattern",
        |(image, cut, whole, end)| {
            let text = image.as_written();
            let kept = if whole {
                text.len()
            } else {
                cut.index(text.len() + 1)
            };
            format!("{}{end}", &text[..kept]).parse().ok()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_first_pattern_that_matches_exempts(
        patterns in prop::collection::vec(patterns(), 0..40),
        images in prop::collection::vec(images(), 1..20),
    ) {
        let allowlist = Allowlist::from(patterns.clone());
        for image in &images {
            let place = |found: Option<&ImagePattern>, all: &[ImagePattern]| {
                found.map(|found| all.iter().position(|one| std::ptr::eq(one, found)))
            };
            prop_assert_eq!(
                place(allowlist.exempting(image), &allowlist),
                place(tried(&patterns, image), &patterns),
                "{} of {:?}", image, patterns
            );
        }
    }

    /// Each stem begins the next, and the image leaves their line somewhere.
    #[test]
    fn wherever_a_long_line_is_left_the_longest_that_fits_is_found(
        lengths in prop::collection::vec(1..130_usize, 1..90),
        left in 1..140_usize,
        end in "[b]{0,2}",
    ) {
        let texts: Vec<String> = lengths.iter().map(|length| format!("r.test/{}*", "a".repeat(*length))).collect();
        let patterns = parsed(&texts);
        let image: ImageRef = format!("r.test/{}{end}", "a".repeat(left)).parse().unwrap();
        let allowlist = Allowlist::from(patterns.clone());
        prop_assert_eq!(allowlist.exempting(&image), tried(&patterns, &image));
    }

    /// Each pattern, alone, exempts the reference it was cut from (if it exempts it at all), wherever it stands.
    #[test]
    fn no_pattern_is_lost_among_others(one in patterns(), image in images(), others in prop::collection::vec(patterns(), 0..30)) {
        let alone = one.matches(&image);
        let mut all = others;
        all.push(one);
        let found = Allowlist::from(all.clone()).exempting(&image).cloned();
        prop_assert!(!alone || found.is_some());
        prop_assert_eq!(found.as_ref(), tried(&all, &image));
    }
}

/// The runtime ignores the tag beside a digest, so patterns with a tag step back for those without one.
#[test]
fn a_pattern_with_a_tag_does_not_hide_the_next_one() {
    let tagged = format!("r.test/a:t@sha256:{HEX}");
    let image: ImageRef = tagged.parse().unwrap();
    for first in [
        tagged.as_str(),
        "r.test/a:t@*",
        "r.test/a:t*",
        "r.test/a:**",
        "r.test/a:*",
    ] {
        let list = |second: &str| parsed(&[first.to_owned(), second.to_owned()]).into();
        for second in ["r.test/a*", "r.test/a**", "r.test/*", "r.test/**"] {
            let list: Allowlist = list(second);
            assert_eq!(list.exempting(&image), Some(&list[1]), "{first} {second}");
        }
        let list: Allowlist = list("r.test/a:t*");
        assert_eq!(list.exempting(&image), None, "{first}");
    }
}

#[test]
fn the_same_pattern_twice_is_the_first_of_them() {
    let texts = [
        "r.test/a/**",
        "r.test/a/*",
        "r.test/**",
        "r.test/a/*",
        "r.test/a/b",
    ];
    let image: ImageRef = "r.test/a/b".parse().unwrap();
    for start in 0..texts.len() {
        let allowlist: Allowlist = texts[start..]
            .iter()
            .map(|text| text.parse::<ImagePattern>().unwrap())
            .collect();
        let found = allowlist.exempting(&image).unwrap();
        assert!(std::ptr::eq(found, &raw const allowlist[0]), "{found}");
    }
}

#[test]
fn an_empty_list_exempts_nothing() {
    let image = "r.test/a".parse().unwrap();
    assert_eq!(Allowlist::default().exempting(&image), None);
    assert_eq!(Allowlist::from(Vec::new()), Allowlist::default());
}

/// Lists as long as they may be, of the shapes that would hurt: many folders, one folder, each pattern
/// the beginning of the next.
fn longest_lists() -> Vec<(&'static str, Vec<String>)> {
    let all = 0..MAX_PATTERNS;
    let spread = all
        .clone()
        .map(|n| format!("r.test/team{}/app{}/*", n / 10, n % 10));
    let one_folder = all.clone().map(|n| format!("r.test/team/app{n}*"));
    let chain = all
        .clone()
        .map(|n| format!("r.test/{}/{}*", n / 200, "a".repeat(n % 200 + 1)));
    let exact = all.map(|n| format!("r.test/team/app{n}:v1"));
    vec![
        ("spread", spread.collect()),
        ("one folder", one_folder.collect()),
        ("chain", chain.collect()),
        ("exact", exact.collect()),
    ]
}

fn parsed(texts: &[String]) -> Vec<ImagePattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_longest_lists_answer_as_if_tried() {
    for (shape, texts) in longest_lists() {
        let patterns = parsed(&texts);
        let allowlist = Allowlist::from(patterns.clone());
        assert_eq!(allowlist.len(), MAX_PATTERNS);
        for written in [
            "r.test/team0/app0/x:1".to_owned(),
            "r.test/team999/app9/x".to_owned(),
            "r.test/team999/app9/x/y".to_owned(),
            "r.test/team/app77:v1".to_owned(),
            "r.test/team/app9999:v1".to_owned(),
            "r.test/team/ap".to_owned(),
            format!("r.test/49/{}", "a".repeat(150)),
            format!("r.test/50/{}", "a".repeat(150)),
            format!("r.test/49/{}b@sha256:{HEX}", "a".repeat(99)),
            "zz.test/a".to_owned(),
        ] {
            let image: ImageRef = written.parse().unwrap();
            assert_eq!(
                allowlist.exempting(&image),
                tried(&patterns, &image),
                "{shape}: {written}"
            );
        }
    }
}

/// A thousand times the patterns may not cost a multiple of the time. Trying each would cost about a thousand times
/// it; the bound leaves room for a busy machine.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn ten_thousand_patterns_cost_about_what_ten_do() {
    let cost = |allowlist: &Allowlist, image: &ImageRef| {
        let round = || {
            let start = std::time::Instant::now();
            for _ in 0..500 {
                std::hint::black_box(allowlist.exempting(std::hint::black_box(image)));
            }
            start.elapsed()
        };
        (0..20).map(|_| round()).min().unwrap()
    };
    for (shape, texts) in longest_lists() {
        let many = Allowlist::from(parsed(&texts));
        let few = Allowlist::from(parsed(&texts[..10]));
        let image = format!("r.test/team/web@sha256:{HEX}").parse().unwrap();
        let (many, few) = (cost(&many, &image), cost(&few, &image));
        assert!(
            many < few * 10,
            "{shape}: {many:?} for 500 of {MAX_PATTERNS}, {few:?} for 500 of 10"
        );
    }
}
