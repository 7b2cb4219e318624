//! A table whose columns give way by priority when the screen is narrow.

use ratatui::layout::Rect;

use super::Pen;
use crate::console::theme::Role;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// It needs this many cells.
    pub least: u16,
    /// It takes up to this many.
    pub most: u16,
    /// The lowest is left out first.
    pub priority: u8,
    /// Numbers stand at the right.
    pub right: bool,
}

/// A column of fixed width.
pub const fn fixed(title: &'static str, width: u16, priority: u8) -> Column {
    Column {
        title,
        least: width,
        most: width,
        priority,
        right: false,
    }
}

/// A column of numbers.
pub const fn number(title: &'static str, width: u16, priority: u8) -> Column {
    Column {
        title,
        least: width,
        most: width,
        priority,
        right: true,
    }
}

/// A column that takes what is left over.
pub const fn flex(title: &'static str, least: u16, most: u16, priority: u8) -> Column {
    Column {
        title,
        least,
        most,
        priority,
        right: false,
    }
}

/// A line of the table.
#[derive(Debug, Default)]
pub struct Row {
    /// One for each column, shown or not.
    pub cells: Vec<(String, Role)>,
    /// The cursor is here.
    pub selected: bool,
    /// It is marked.
    pub marked: bool,
}

/// Which columns are shown, and how wide: pairs of index and width.
pub fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let need = |shown: &[usize]| -> u32 {
        let gaps = shown.len().saturating_sub(1) as u32;
        shown
            .iter()
            .map(|index| u32::from(columns[*index].least))
            .sum::<u32>()
            + gaps
    };
    while shown.len() > 1 && need(&shown) > u32::from(width) {
        let weakest = shown
            .iter()
            .enumerate()
            .min_by_key(|(place, index)| (columns[**index].priority, usize::MAX - place))
            .map(|(place, _)| place);
        match weakest {
            Some(place) => drop(shown.remove(place)),
            None => break,
        }
    }
    let mut left = u32::from(width).saturating_sub(need(&shown));
    let mut fitted: Vec<(usize, u16)> = shown
        .iter()
        .map(|index| (*index, columns[*index].least.min(width)))
        .collect();
    // The most important flexible column is served first.
    let mut order: Vec<usize> = (0..fitted.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(columns[fitted[*place].0].priority));
    for place in order {
        let (index, cells) = &mut fitted[place];
        let more = u32::from(columns[*index].most.saturating_sub(*cells)).min(left);
        *cells += more as u16;
        left -= more;
    }
    fitted
}

/// The columns, none of them growing wider than `rows` fill it, so that what one does not need another has.
///
/// Beyond 16 cells in steps of 8: a column must not move with each row that comes into sight.
pub fn snug(columns: &[Column], rows: &[Row]) -> Vec<Column> {
    let wide = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(index));
        let widest = cells.map(|(text, _)| crate::visible::width(text)).max();
        match widest.unwrap_or_default() {
            few @ 0..=16 => few,
            many => many.next_multiple_of(8),
        }
    };
    let snug = |(index, column): (usize, &Column)| {
        let content = wide(index).max(column.title.len());
        let most = u16::try_from(content).unwrap_or(u16::MAX);
        Column {
            most: column.most.min(most).max(column.least),
            ..*column
        }
    };
    columns.iter().enumerate().map(snug).collect()
}

/// Whether the column at `index` would be shown at that width, and how wide.
pub fn width_of(columns: &[Column], width: u16, index: usize) -> u16 {
    fit(columns, width)
        .into_iter()
        .find(|(other, _)| *other == index)
        .map_or(0, |(_, cells)| cells)
}

/// Draws headings and rows into `area`; the caller passes only the rows that are to be seen.
pub fn draw(pen: &mut Pen<'_>, area: Rect, columns: &[Column], rows: &[Row]) {
    if area.is_empty() {
        return;
    }
    // One cell at the left for the mark, one at the right for the scroll bar.
    let inner = area.width.saturating_sub(2).max(1);
    let fitted = fit(columns, inner);
    let mut x = area.x + 1;
    for (index, width) in &fitted {
        let column = &columns[*index];
        if column.right {
            pen.right(x, area.y, *width, column.title, Role::Dim);
        } else {
            pen.text(x, area.y, *width, column.title, Role::Dim);
        }
        x += width + 1;
    }
    for (offset, row) in rows.iter().enumerate() {
        let y = area.y + 1 + offset as u16;
        if y >= area.bottom() {
            break;
        }
        let mark = match (row.marked, row.selected) {
            (true, _) => pen.theme.glyph("◉", "*"),
            (false, true) => pen.theme.glyph("›", ">"),
            _ => " ",
        };
        pen.text(area.x, y, 1, mark, Role::Text);
        let mut x = area.x + 1;
        for (index, width) in &fitted {
            if let Some((text, role)) = row.cells.get(*index) {
                if columns[*index].right {
                    pen.right(x, y, *width, text, *role);
                } else {
                    pen.text(x, y, *width, text, *role);
                }
            }
            x += width + 1;
        }
        if row.selected {
            let bar = Rect::new(area.x, y, area.width, 1);
            pen.over(bar.intersection(pen.buffer.area), Role::Selected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        flex("name", 8, 20, 9),
        fixed("state", 10, 8),
        number("rate", 5, 3),
        flex("reason", 10, 100, 1),
    ];

    #[test]
    fn the_weakest_column_goes_first_and_the_rest_is_shared() {
        for (width, expected) in [
            (200, vec![(0, 20), (1, 10), (2, 5), (3, 100)]),
            (60, vec![(0, 20), (1, 10), (2, 5), (3, 22)]),
            (30, vec![(0, 13), (1, 10), (2, 5)]),
            (20, vec![(0, 9), (1, 10)]),
            (5, vec![(0, 5)]),
        ] {
            assert_eq!(fit(COLUMNS, width), expected, "{width}");
        }
    }

    #[test]
    fn what_a_column_does_not_fill_another_has() {
        let row = |texts: [&str; 4]| Row {
            cells: texts.map(|text| (text.to_owned(), Role::Text)).into(),
            ..Row::default()
        };
        let rows = [
            row(["crm", "ok", "1", "a reason of twenty-seven ch"]),
            row(["deals-long", "ok", "1", ""]),
        ];
        let snug = snug(COLUMNS, &rows);
        assert_eq!(fit(&snug, 60), [(0, 10), (1, 10), (2, 5), (3, 32)]);
        assert_eq!(fit(&snug, 30), [(0, 10), (1, 10), (2, 5)]);
    }
}
