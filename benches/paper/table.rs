//! Tables in Markdown that are also readable as plain text.

use comfy_table::{CellAlignment, presets};

/// A table whose first column is aligned left and whose other columns, which are numbers, are aligned right.
pub struct Table(comfy_table::Table);

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(head);
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        Self(table)
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self.0.lines().collect();
        // The rule below the head also carries the alignment for Markdown.
        if let Some(rule) = lines.get_mut(1) {
            let columns = self.0.column_max_content_widths().into_iter().map(usize::from).enumerate();
            let rules = columns.map(|(column, width)| match column {
                0 => format!("{}|", "-".repeat(width + 2)),
                _ => format!("{}:|", "-".repeat(width + 1)),
            });
            *rule = format!("|{}", rules.collect::<String>());
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Writes about three significant digits.
pub fn figure(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value if value >= 0.095 || value == 0.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

#[cfg(test)]
#[allow(unused, reason = "run by tests/cli")]
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
