//! The drift of a job's last runs as a chart, with its limits as lines. Pure: runs in, lines out.

use super::super::theme::Role;
use crate::store::view::RunRow;

/// Columns of the scale at the left.
const SCALE: usize = 8;

/// Lines of a chart, the scale at their left; the newest run stands at the right end. `limits` are shares, as is drift.
pub(super) fn chart(
    runs: &[&RunRow],
    limits: Option<[f64; 2]>,
    (width, height): (usize, usize),
    ascii: bool,
) -> Vec<Vec<(String, Role)>> {
    let columns = width.saturating_sub(SCALE);
    if columns == 0 || height < 3 {
        return Vec::new();
    }
    let mut shown: Vec<&RunRow> = runs.iter().copied().take(columns).collect();
    shown.reverse();
    let drifts = shown.iter().filter_map(|run| run.drift);
    let most = drifts
        .chain(limits.map(|limits| limits[1] * 1.25))
        .fold(1e-4, f64::max);
    let (bar, line) = if ascii { ('#', '-') } else { ('█', '─') };
    let row_of = |share: f64| (((share / most) * height as f64).ceil() as usize).clamp(1, height);
    let lines = (0..height).map(|from_top| {
        let row = height - from_top;
        let limit = limits.and_then(|limits| {
            let at = limits.iter().rposition(|limit| row_of(*limit) == row)?;
            Some((limits[at], at == 1))
        });
        let scale = match limit {
            Some((share, _)) => percent(share),
            None if row == height => percent(most),
            None => String::new(),
        };
        let mut pieces = vec![(format!("{scale:>6}  "), Role::Dim)];
        let blank = " ".repeat(columns - shown.len());
        let empty = |text: String, limit: Option<(f64, bool)>| match limit {
            Some((_, critical)) => (
                text.replace(' ', &line.to_string()),
                if critical { Role::Bad } else { Role::Warn },
            ),
            None => (text, Role::Text),
        };
        pieces.push(empty(blank, limit));
        for run in &shown {
            let reaches = run
                .drift
                .is_some_and(|drift| drift > 0.0 && row_of(drift) >= row);
            pieces.push(if reaches {
                (bar.to_string(), role(run, limits))
            } else if run.drift.is_none() && row == 1 {
                // It compared nothing.
                ("?".to_owned(), Role::Warn)
            } else {
                empty(" ".to_owned(), limit)
            });
        }
        pieces
    });
    lines.collect()
}

fn role(run: &RunRow, limits: Option<[f64; 2]>) -> Role {
    let drift = run.drift.unwrap_or_default();
    match limits {
        Some([_, critical]) if drift >= critical => Role::Bad,
        Some([warn, _]) if drift >= warn => Role::Warn,
        _ => Role::Good,
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_at_the_right_and_limits_are_lines_behind_them() {
        let runs: Vec<RunRow> = [Some(0.04), None, Some(0.0), Some(0.01)]
            .map(|drift| RunRow {
                drift,
                ..RunRow::default()
            })
            .to_vec();
        let runs: Vec<&RunRow> = runs.iter().collect();
        let lines: Vec<String> = chart(&runs, Some([0.01, 0.04]), (14, 5), true)
            .into_iter()
            .map(|pieces| pieces.into_iter().map(|(text, _)| text).collect())
            .collect();
        assert_eq!(
            lines,
            [
                "  5.0%        ",
                "  4.0%  -----#",
                "             #",
                "             #",
                "  1.0%  --#-?#",
            ]
        );
        assert!(chart(&runs, None, (8, 5), true).is_empty());
        assert_eq!(chart(&[], None, (20, 3), true).len(), 3);
    }
}
