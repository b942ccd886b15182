//! Tables in Markdown, that are also readable as they are.

/// A table: the first column to the left, the others, which are numbers, to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    pub fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(String::len).max().unwrap_or(0).max(3)
        };
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("| {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
            text.extend(cells);
            text.push('\n');
            if number == 0 {
                let rules = widths.iter().enumerate().map(|(column, width)| match column {
                    0 => format!("|{}|", "-".repeat(width + 2)),
                    _ => format!("{}:|", "-".repeat(width + 1)),
                });
                text.extend(rules);
                text.push('\n');
            }
        }
        text
    }
}

/// Three digits or so that count.
pub fn figure(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value if value >= 0.095 || value == 0.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(["case", "us"]);
        table.row(["under the limit".into(), "1.25".into()]);
        table.row(["429".into(), "1000".into()]);
        let expected = "\
| case            |   us |
|-----------------|-----:|
| under the limit | 1.25 |
| 429             | 1000 |
";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn figures_have_some_digits_that_count_however_small_they_are() {
        for (value, expected) in [
            (0.0, "0.00"),
            (0.00123, "0.0012"),
            (0.0949, "0.0949"),
            (0.095, "0.10"),
            (1.234, "1.23"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(figure(value), expected);
        }
    }
}
