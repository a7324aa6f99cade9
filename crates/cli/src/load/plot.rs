//! Response times as a drawing: for each share of the requests, what they did not exceed. The shares are spread so that the last
//! percent, which people wait for, has as much room as the ninety before it.

use std::fmt::Write as _;
use std::time::Duration;

use super::Histogram;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
/// Where the horizontal axis has its marks.
static SHARES: [(f64, &str); 7] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];
/// Steps of a line from one mark to the next.
const STEPS: u32 = 24;
/// Marks of the vertical axis, about.
const MARKS: f64 = 6.0;
/// Told apart by people who see no colours, too: by their dashes.
const LINES: [(&str, &str); 3] = [("#5b6470", "7 5"), ("#0b6bcb", ""), ("#c2410c", "2 4")];

/// The drawing, as SVG. Titles and names may hold anything.
#[must_use]
pub fn svg(title: &str, lines: &[(&str, &Histogram)]) -> String {
    let marks = marks(lines);
    let (top, step) = scale(
        lines
            .iter()
            .map(|(_, waits)| waits.percentile(last_share(marks)))
            .max(),
    );
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#1f2933\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    grid(&mut drawing, marks, (top, step));
    for ((name, waits), (number, (colour, dashes))) in lines.iter().zip(LINES.iter().enumerate()) {
        let mut points = String::new();
        for step in 0..=(marks.len() as u32 - 1) * STEPS {
            let at = f64::from(step) / f64::from(STEPS);
            let millis = waits.percentile(share_at(marks, at)).as_secs_f64() * 1e3;
            let _ = write!(points, "{:.1},{:.1} ", across(marks, at), down(millis, top));
        }
        let _ = writeln!(
            drawing,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>",
            points.trim_end()
        );
        let x = LEFT + 250.0 * number as f64;
        let _ = writeln!(
            drawing,
            "<path d=\"M{x:.0} 44h28\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{:.0}\" y=\"48\">{}</text>",
            x + 36.0,
            escaped(name)
        );
    }
    drawing.push_str("</svg>\n");
    drawing
}

/// Marks up to where the smallest of the lines still has ten requests beyond.
fn marks(lines: &[(&str, &Histogram)]) -> &'static [(f64, &'static str)] {
    let fewest = lines
        .iter()
        .map(|(_, waits)| waits.count())
        .min()
        .unwrap_or_default();
    let known = |(share, _): &&(f64, &str)| (1.0 - share) * fewest as f64 >= 10.0;
    let known = SHARES.iter().filter(known).count().clamp(2, SHARES.len());
    SHARES.split_at(known).0
}

fn last_share(marks: &[(f64, &str)]) -> f64 {
    marks.last().map_or(1.0, |(share, _)| *share)
}

/// The share at so many marks from the left.
fn share_at(marks: &[(f64, &str)], at: f64) -> f64 {
    let place = (at as usize).min(marks.len().saturating_sub(2));
    match marks.get(place..) {
        Some([(from, _), (to, _), ..]) => from + (to - from) * (at - place as f64),
        _ => 0.0,
    }
}

fn across(marks: &[(f64, &str)], at: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * at / (marks.len() as f64 - 1.0)
}

fn down(millis: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * millis / top
}

/// Milliseconds at the upper end, and from one mark to the next: 1, 2 or 5 times a power of ten.
fn scale(longest: Option<Duration>) -> (f64, f64) {
    let longest = (longest.unwrap_or_default().as_secs_f64() * 1e3).max(0.001);
    let power = 10_f64.powf((longest / MARKS).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps
        .into_iter()
        .find(|step| longest / step <= MARKS)
        .unwrap_or(longest);
    ((longest / step).ceil() * step, step)
}

fn grid(drawing: &mut String, marks: &[(f64, &str)], (top, step): (f64, f64)) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    for mark in 0..=(top / step).round() as u32 {
        let millis = f64::from(mark) * step;
        let y = down(millis, top);
        let _ = writeln!(
            drawing,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e3e7eb\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{millis:.digits$} ms</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (number, (_, name)) in marks.iter().enumerate() {
        let x = across(marks, number as f64);
        let _ = writeln!(
            drawing,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#e3e7eb\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
            bottom + 18.0
        );
    }
    let _ = writeln!(
        drawing,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">share of the requests that took no longer</text>",
        (LEFT + right) / 2.0,
        bottom + 40.0
    );
}

/// As it may stand between tags.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // XML has no form for these, not even escaped.
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}')
            }
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(count: u64, micros: impl Fn(u64) -> u64) -> Histogram {
        let mut waits = Histogram::default();
        for number in 0..count {
            waits.record(Duration::from_micros(micros(number)));
        }
        waits
    }

    /// The points of each line.
    fn points(drawing: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = drawing
            .lines()
            .filter_map(|line| line.strip_prefix("<polyline points=\""));
        let number = |text: &str| text.parse::<f64>().expect("a number");
        lines
            .map(|line| {
                let points = line.split('"').next().expect("points").split(' ');
                points
                    .map(|pair| pair.split_once(',').expect("a pair"))
                    .map(|(x, y)| (number(x), number(y)))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn slower_is_higher_and_all_is_within_the_frame() {
        let (quick, slow) = (waits(20_000, |n| n / 10), waits(20_000, |n| n / 4));
        let drawing = svg("t", &[("quick", &quick), ("slow", &slow)]);
        let lines = points(&drawing);
        assert_eq!(lines.len(), 2);
        for (quick, slow) in lines[0].iter().zip(&lines[1]) {
            assert!(slow.1 <= quick.1, "{slow:?} {quick:?}");
        }
        for line in &lines {
            assert!(
                line.windows(2)
                    .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1)
            );
            let inside = |(x, y): &(f64, f64)| {
                (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y)
            };
            assert!(line.iter().all(inside), "{line:?}");
        }
        // 20 beyond 99.9 %, two beyond 99.99 %.
        assert!(drawing.contains(">99.9 %<") && !drawing.contains(">99.99 %<"));
        assert!(drawing.contains(">quick<") && drawing.contains(">slow<"));
    }

    #[test]
    fn the_middle_of_a_line_is_its_median() {
        let drawing = svg("t", &[("all", &waits(1_000, |n| n * 10))]);
        // 0, 50, 90 and 99 %: the second mark is at a third.
        let line = &points(&drawing)[0];
        let (x, y) = line[STEPS as usize];
        assert!((x - (LEFT + (WIDTH - LEFT - RIGHT) / 3.0)).abs() < 0.1, "{x}");
        // 5 of 10 ms.
        assert!((y - (TOP + HEIGHT - BOTTOM) / 2.0).abs() < 3.0, "{y}");
    }

    #[test]
    fn nothing_and_hardly_anything_can_be_drawn() {
        for count in [0, 1, 5] {
            let drawing = svg("t", &[("one", &waits(count, |_| 1))]);
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        }
        assert!(svg("t", &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn a_scale_is_of_round_steps() {
        for (micros, expected) in [
            (9_800, (10.0, 2.0)),
            (1_000, (1.0, 0.2)),
            (350, (0.35, 0.1)),
            (60_000_000, (60_000.0, 10_000.0)),
        ] {
            let (top, step) = scale(Some(Duration::from_micros(micros)));
            assert!((step - expected.1).abs() < 1e-9, "{micros}: {step}");
            assert!(top >= expected.0 && top < expected.0 + step, "{micros}: {top}");
        }
    }

    #[test]
    fn names_stay_text() {
        let drawing = svg("<script>&\u{1}", &[("a<b>&c", &waits(10, |n| n))]);
        assert!(!drawing.contains("<script") && !drawing.contains("a<b"));
        assert!(drawing.contains("a&lt;b&gt;&amp;c") && !drawing.contains('\u{1}'));
    }
}
