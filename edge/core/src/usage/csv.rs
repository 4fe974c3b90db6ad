//! Tables as CSV (RFC 4180), which a spreadsheet opens without running what is in them.

/// A table on its way to a spreadsheet.
pub struct Csv(String);

impl Csv {
    /// A table with these columns.
    pub fn new(header: &[&str]) -> Self {
        let mut csv = Self(String::new());
        csv.line(header);
        csv
    }

    /// Adds a line, with as many fields as there are columns.
    pub fn line<S: AsRef<str>>(&mut self, fields: &[S]) {
        for (number, field) in fields.iter().enumerate() {
            if number > 0 {
                self.0.push(',');
            }
            self.0.push_str(&escaped(field.as_ref()));
        }
        self.0.push_str("\r\n");
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A field that means itself. A spreadsheet takes what begins like a formula for one, whatever quotes are round it: an
/// apostrophe before it makes it text (OWASP, "CSV Injection").
fn escaped(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let guarded = if formula { format!("'{field}") } else { field.to_owned() };
    if guarded.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_means_itself() {
        for (field, written) in [
            ("plain", "plain"),
            ("", ""),
            ("two words", "two words"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a=1", "a=1"),
            ("10", "10"),
        ] {
            assert_eq!(escaped(field), written, "{field:?}");
        }
    }

    #[test]
    fn a_table_has_a_header_and_a_line_for_each_row() {
        let mut csv = Csv::new(&["name", "calls"]);
        csv.line(&["a,b", "1"]);
        assert_eq!(csv.into_text(), "name,calls\r\n\"a,b\",1\r\n");
    }
}
