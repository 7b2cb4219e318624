//! A sparkline: how a number went, in one row of text. Pure; called by the Overview and by `midwatch status`.

/// Zero, and seven heights above it.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same, by how dark it is.
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// `values`, oldest first, as one character each; at most `cells` of them. More values than cells are put together,
/// the greatest of each cell shown, so that no peak hides. None is a gap: it is not zero.
///
/// `top` is the value of a full height, so that several lines can share a scale; without it, or below the greatest
/// value, that value is. Anything above zero stands higher than zero.
pub fn spark(values: &[Option<u64>], cells: usize, top: Option<u64>, ascii: bool) -> String {
    let count = values.len().min(cells);
    let top = values
        .iter()
        .flatten()
        .copied()
        .chain(top)
        .max()
        .unwrap_or(0);
    let glyphs = if ascii { &ASCII } else { &BLOCKS };
    (0..count)
        .map(|cell| {
            // The cells part the values evenly; with as many cells as values each has one.
            let part = cell * values.len() / count..(cell + 1) * values.len() / count;
            match values[part].iter().flatten().max() {
                None => ' ',
                Some(0) => glyphs[0],
                // 1..=top onto 1..=7, rounding up. 128 bits: seven times the greatest value fits.
                Some(value) => glyphs[(u128::from(*value) * 7).div_ceil(u128::from(top)) as usize],
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Vec<Option<u64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn heights_follow_the_values_and_a_gap_is_no_zero() {
        for (values, cells, top, ascii, drawn) in [
            (of(&[0, 1, 2, 3, 4, 5, 6, 7]), 8, None, false, "▁▂▃▄▅▆▇█"),
            (of(&[0, 1, 2, 3, 4, 5, 6, 7]), 8, None, true, "_.:-=+*#"),
            (of(&[0, 0]), 8, None, false, "▁▁"),
            (vec![Some(1), None, Some(1)], 8, None, false, "█ █"),
            (vec![None, None], 8, None, false, "  "),
            (of(&[1, 1000]), 8, None, false, "▂█"),
            (of(&[50]), 8, Some(100), false, "▅"),
            (of(&[500]), 8, Some(100), false, "█"),
            (of(&[0, 9, 0, 0, 0, 0]), 3, None, false, "█▁▁"),
            (of(&[u64::MAX, 1]), 8, None, true, "#."),
            (of(&[1, 2]), 0, None, false, ""),
            (vec![], 8, None, false, ""),
        ] {
            assert_eq!(spark(&values, cells, top, ascii), drawn, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_panics_nor_exceeds_its_cells(
            values in prop::collection::vec(any::<Option<u64>>(), 0..200), cells in 0usize..300, top: Option<u64>, ascii: bool,
        ) {
            let drawn = spark(&values, cells, top, ascii);
            prop_assert_eq!(drawn.chars().count(), values.len().min(cells));
            prop_assert!(!ascii || drawn.is_ascii());
        }
    }
}
