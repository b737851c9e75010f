//! The picture: for each row a bar for KVM and one for Plinth, and a mark at a tenth of KVM's.

use std::fmt::Write;

use crate::bench::{Column, Row};

const KVM: &str = "#9aa5b1";
const PLINTH: &str = "#c2410c";
/// The length of the longest bar, and where bars begin.
const LONGEST: f64 = 560.0;
const LEFT: f64 = 90.0;

/// The rows that both sides have; those that exit nowhere are left out.
pub fn svg(rows: &[Row]) -> String {
    let shown: Vec<_> = rows.iter().filter_map(shown).collect();
    // KVM's are longer than Plinth's; were one not, it would only be drawn longer than the space for it.
    let most = shown.iter().map(|(_, _, kvm)| *kvm).fold(1.0, f64::max);
    let height = 50 + shown.len() * 26;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">Instructions an exit: <tspan fill=\"{KVM}\">KVM</tspan>, \
         <tspan fill=\"{PLINTH}\">Plinth</tspan>; the line is a tenth of KVM's</text>\n"
    );
    for (y, (id, plinth, kvm)) in (40..).step_by(26).zip(shown) {
        let mark = kvm / most * LONGEST / 10.0;
        // Writing to a string can't fail, here and below.
        let _ = write!(out, "<text x=\"84\" y=\"{}\" text-anchor=\"end\">{id}</text>", y + 11);
        bar(&mut out, y, (kvm, most), mark, KVM);
        if let Some(plinth) = plinth {
            bar(&mut out, y + 10, (plinth, most), mark, PLINTH);
        }
        let _ = writeln!(out, "<path d=\"M{:.1} {}v21\" stroke=\"#1f2933\"/>", LEFT + mark, y - 1);
    }
    out + "</svg>\n"
}

fn shown(row: &Row) -> Option<(&str, Option<f64>, f64)> {
    // Beside rows of thousands of instructions those of a few would have no length.
    let exits = !matches!(row.id.as_str(), "nop" | "nop8" | "rdtsc") && !row.is_batch();
    Some((&row.id, row.cost(Column::Plinth), row.cost(Column::Kvm).filter(|_| exits)?))
}

/// The number stands right of the bar and of the mark.
fn bar(out: &mut String, y: i32, (value, most): (f64, f64), mark: f64, colour: &str) {
    let width = value / most * LONGEST;
    let right = LEFT + 4.0 + width.max(mark);
    let _ = writeln!(
        out,
        "<rect x=\"90\" y=\"{y}\" width=\"{width:.1}\" height=\"9\" fill=\"{colour}\"/>\
         <text x=\"{right:.1}\" y=\"{}\" font-size=\"9\">{:.0}</text>",
        y + 8,
        value.trunc()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_sides_have_is_shown() {
        let costs = [(Column::Plinth, 229.9), (Column::Kvm, 3501.0)];
        let rows = ["nop", "outu", "batch1"].map(|id| Row::new(id, costs));
        let text = svg(&rows);
        assert_eq!(text.matches("<rect x=").count(), 2);
        assert!(
            text.contains(">229</text>") && text.contains("M146.0 39v21") && text.contains("height=\"76\"")
        );
    }
}
