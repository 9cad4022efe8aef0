//! Tables for people: columns as wide as their widest cell.

use std::fmt::Write as _;

/// How a column stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lays out `rows` under `head`; every row has as many cells as `head`.
pub(crate) fn layout(head: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut one = String::new();
        for ((cell, (_, align)), width) in cells.zip(head).zip(&widths) {
            let _ = match align {
                Align::Left => write!(one, "{cell:<width$}  "),
                Align::Right => write!(one, "{cell:>width$}  "),
            };
        }
        text.push_str(one.trim_end());
        text.push('\n');
    };
    line(&mut head.iter().map(|(name, _)| *name));
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["breaker".into(), "5".into()], vec!["x".into(), "1234".into()]];
        let text = layout(&[("crate", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(text, "crate       n\n-------  ----\nbreaker     5\nx        1234\n");
    }
}
