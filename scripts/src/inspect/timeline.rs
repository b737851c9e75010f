//! A boot as a picture: how many exits of each reason a second, over time, and what the log says meanwhile.

use std::fmt::Write;

use inspect_protocol::{Exits, Machine};

/// What was counted at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Seconds since the kernel was entered.
    pub at: f64,
    /// Exits since then, by reason.
    pub counts: Vec<(String, u64)>,
}

impl Sample {
    /// The sums of a table.
    pub fn of(machine: &Machine, exits: &[Exits]) -> Self {
        let ticks = machine.now_tsc.saturating_sub(machine.boot_tsc);
        let mut counts: Vec<(String, u64)> = Vec::new();
        for row in exits {
            match counts.iter_mut().find(|(reason, _)| *reason == row.reason) {
                // Another vCPU's row, or another place's, of the same reason.
                Some((_, count)) => *count += row.count,
                None => counts.push((row.reason.clone(), row.count)),
            }
        }
        // A machine that does not know its clock's rate must not divide by zero here.
        Self { at: ticks as f64 / machine.tsc_hz.max(1) as f64, counts }
    }

    fn count(&self, reason: &str) -> u64 {
        self.counts.iter().find(|(name, _)| name == reason).map_or(0, |(_, count)| *count)
    }
}

/// The picture's inner part, and where it is.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
/// Reasons that have a colour of their own, by how often they are; the others share the last one.
const COLOURS: [&str; 8] =
    ["#c2410c", "#1d4ed8", "#15803d", "#a16207", "#7e22ce", "#0e7490", "#be185d", "#9aa5b1"];

/// Exits a second between two samples, for each reason of `order`, the rest behind them.
fn rates(before: &Sample, after: &Sample, order: &[String]) -> Vec<f64> {
    // Two looks may have the same time.
    let span = (after.at - before.at).max(1e-6);
    let rate = |reason: &str| after.count(reason).saturating_sub(before.count(reason)) as f64 / span;
    let mut all: Vec<f64> = order.iter().map(|reason| rate(reason)).collect();
    let others = after.counts.iter().filter(|(reason, _)| !order.contains(reason));
    all.push(others.map(|(reason, _)| rate(reason)).sum());
    all
}

/// The reasons that have a colour of their own, the commonest first.
fn order(last: &Sample) -> Vec<String> {
    let mut all = last.counts.clone();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // The last colour is for the rest.
    all.into_iter().take(COLOURS.len() - 1).map(|(reason, _)| reason).collect()
}

/// The picture: bars of exits a second, one upon the other, from sample to sample; `title` above.
pub fn svg(samples: &[Sample], title: &str) -> String {
    let end = samples.last().map_or(1.0, |last| last.at).max(1e-3);
    // By the whole boot, so that a reason has one colour all the time.
    let order = samples.last().map(order).unwrap_or_default();
    let spans: Vec<(f64, f64, Vec<f64>)> = samples
        .iter()
        .zip(samples.iter().skip(1))
        .map(|(before, after)| (before.at, after.at, rates(before, after, &order)))
        .collect();
    let most = spans.iter().map(|(.., rates)| rates.iter().sum::<f64>()).fold(1.0, f64::max);
    let mut out = head(title);
    grid(&mut out, end, most);
    for (from, to, rates) in &spans {
        let mut bottom = TOP + HEIGHT;
        for (rate, colour) in rates.iter().zip(COLOURS) {
            let height = rate / most * HEIGHT;
            bottom -= height;
            // A bar that nobody sees would only make the file larger.
            if height >= 0.05 {
                let (x, width) = (LEFT + from / end * WIDTH, (to - from) / end * WIDTH);
                // Writing to a string can't fail, here and below.
                let _ = writeln!(
                    out,
                    "<rect x=\"{x:.2}\" y=\"{bottom:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
                     fill=\"{colour}\"/>"
                );
            }
        }
    }
    legend(&mut out, samples.last(), &order);
    out + "</svg>\n"
}

fn head(title: &str) -> String {
    let (width, height) = (LEFT + WIDTH + 20.0, TOP + HEIGHT + 80.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"13\">{}</text>\n",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Lines at round numbers, which are written beside them.
fn grid(out: &mut String, end: f64, most: f64) {
    for mark in marks(most) {
        let y = TOP + HEIGHT - mark / most * HEIGHT;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}h{WIDTH}\" stroke=\"#d9e2ec\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{mark:.0}/s</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for mark in marks(end) {
        let (x, y) = (LEFT + mark / end * WIDTH, TOP + HEIGHT);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {y}v5\" stroke=\"#1f2933\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{mark} s</text>",
            y + 18.0
        );
    }
}

/// Some round numbers from 0 to `most`.
fn marks(most: f64) -> Vec<f64> {
    // A power of ten a little too small; some round multiple of it gives six marks at most.
    let step = 10f64.powf((most / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * step).into_iter().find(|step| most / step <= 6.0);
    let step = step.unwrap_or(most.max(1.0));
    (0..=6).map(|n| f64::from(n) * step).take_while(|mark| *mark <= most).collect()
}

fn legend(out: &mut String, last: Option<&Sample>, order: &[String]) {
    let count = |reason: &String| last.map_or(0, |last| last.count(reason));
    let total: u64 = last.iter().flat_map(|last| &last.counts).map(|(_, count)| count).sum();
    let named: u64 = order.iter().map(count).sum();
    let mut entries: Vec<(String, u64)> =
        order.iter().map(|reason| (reason.clone(), count(reason))).collect();
    // Also where it is nothing: the legend then shows that nothing was left out.
    entries.push(("others".to_owned(), total - named));
    for (at, ((name, count), colour)) in entries.iter().zip(COLOURS).enumerate() {
        let (x, y) = (LEFT + (at % 4) as f64 * 215.0, TOP + HEIGHT + 40.0 + (at / 4) as f64 * 18.0);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{} ({count})</text>",
            y - 9.0,
            x + 15.0,
            escape(name)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, counts: &[(&str, u64)]) -> Sample {
        Sample { at, counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect() }
    }

    #[test]
    fn bars_are_rates() {
        let samples =
            [sample(0.0, &[]), sample(1.0, &[("port", 100)]), sample(3.0, &[("port", 100), ("msr", 50)])];
        let text = svg(&samples, "a < b");
        assert!(text.contains("a &lt; b") && text.contains("port (100)") && text.contains("msr (50)"));
        // A third of the width and all of the height; two thirds and a quarter.
        assert!(text.contains("<rect x=\"80.00\" y=\"40.00\" width=\"286.67\" height=\"320.00\""), "{text}");
        assert!(text.contains("<rect x=\"366.67\" y=\"280.00\" width=\"573.33\" height=\"80.00\""), "{text}");
        assert!(text.contains(">100/s<") && text.contains(">3 s<") && text.contains("others (0)"));
    }

    #[test]
    fn few_samples_are_a_picture_too() {
        for samples in [vec![], vec![sample(0.0, &[("port", 1)])]] {
            let text = svg(&samples, "");
            assert!(text.starts_with("<svg") && text.ends_with("</svg>\n") && !text.contains("NaN"));
        }
    }

    #[test]
    fn rare_reasons_share_a_colour() {
        let names: Vec<String> = (0..12).map(|n| format!("r{n}")).collect();
        let counts: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(1..).collect();
        let last = sample(1.0, &counts);
        let order = order(&last);
        assert_eq!((order.len(), order[0].as_str()), (7, "r11"));
        assert_eq!(rates(&sample(0.0, &[]), &last, &order).last(), Some(&15.0));
    }

    #[test]
    fn marks_are_few_and_round() {
        assert_eq!(marks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(marks(3.0), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert!((1..5000).all(|n| (2..=7).contains(&marks(f64::from(n)).len())));
    }
}
