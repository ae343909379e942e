//! Reads comma-separated values as RFC 4180 writes them: fields in quotes may hold commas, line breaks and doubled quotes.
//!
//! Strict: a quote in the middle of a field, text behind a closing one, or one that is never closed is refused with its
//! line, because guessing would put one cell's text into another's. Lines may end with LF alone; a byte order mark and
//! empty lines are passed over.

/// A record, and the line where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counted from 1.
    pub line: usize,
    /// At least one.
    pub fields: Vec<String>,
}

/// What is not CSV. Says where, and nothing of what stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCsv {
    /// A quote where none may be.
    #[error(
        "line {0}: a quote in the middle of a field; put the field in quotes and double those inside of it"
    )]
    Quote(usize),
    /// Something between a closing quote and the next comma.
    #[error("line {0}: text behind a closing quote")]
    BehindQuote(usize),
    /// The field that begins there has no end.
    #[error("line {0}: a quote that is never closed")]
    Open(usize),
}

/// Reads all records.
pub fn read(text: &str) -> Result<Vec<Record>, InvalidCsv> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.line;
        let fields = reader.record()?;
        if fields.len() > 1 || fields.first().is_some_and(|field| !field.is_empty()) {
            records.push(Record { line, fields });
        }
    }
    Ok(records)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

/// What stands behind a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Field,
    Record,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Vec<String>, InvalidCsv> {
        let mut fields = Vec::new();
        loop {
            let field = if self.takes('"') {
                self.quoted()?
            } else {
                self.bare()?
            };
            fields.push(field);
            if self.behind()? == Behind::Record {
                return Ok(fields);
            }
        }
    }

    fn bare(&mut self) -> Result<String, InvalidCsv> {
        let end = self.rest.find([',', '"', '\n']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        if rest.starts_with('"') {
            return Err(InvalidCsv::Quote(self.line));
        }
        self.rest = rest;
        // The CR of a line's end belongs to the end.
        Ok(field
            .strip_suffix('\r')
            .filter(|_| !rest.starts_with(','))
            .unwrap_or(field)
            .to_owned())
    }

    fn quoted(&mut self) -> Result<String, InvalidCsv> {
        let (mut field, begin) = (String::new(), self.line);
        loop {
            let (part, rest) = self.rest.split_once('"').ok_or(InvalidCsv::Open(begin))?;
            self.line += part.matches('\n').count();
            field.push_str(part);
            self.rest = rest;
            if !self.takes('"') {
                return Ok(field);
            }
            field.push('"');
        }
    }

    fn behind(&mut self) -> Result<Behind, InvalidCsv> {
        if self.takes(',') {
            return Ok(Behind::Field);
        }
        let _ = self.rest.starts_with("\r\n") && self.takes('\r');
        if self.takes('\n') {
            self.line += 1;
            return Ok(Behind::Record);
        }
        if self.rest.is_empty() {
            return Ok(Behind::Record);
        }
        Err(InvalidCsv::BehindQuote(self.line))
    }

    fn takes(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        read(text)
            .unwrap()
            .into_iter()
            .map(|record| record.fields)
            .collect()
    }

    #[test]
    fn a_record_is_a_line_and_a_field_ends_with_a_comma() {
        for text in ["a,b\r\n,c\r\n", "a,b\n,c", "\u{feff}a,b\n\n\r\n,c\n"] {
            assert_eq!(fields(text), [["a", "b"], ["", "c"]], "{text:?}");
        }
        assert!(fields("").is_empty());
        assert_eq!(fields("a,"), [["a", ""]]);
    }

    #[test]
    fn quotes_keep_commas_line_breaks_and_quotes_inside_of_a_field() {
        assert_eq!(
            fields("\"a,b\",\"c\r\nd\",\"say \"\"hi\"\"\"\r\n\"\",x\r\n"),
            [vec!["a,b", "c\r\nd", "say \"hi\""], vec!["", "x"]]
        );
    }

    #[test]
    fn a_record_knows_its_line_also_behind_a_field_of_several_lines() {
        let records = read("a\n\"b\n\nc\",d\n\ne").unwrap();
        let lines: Vec<usize> = records.iter().map(|record| record.line).collect();
        assert_eq!(lines, [1, 2, 6]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_with_its_line() {
        assert_eq!(read("a\nb\"c,d"), Err(InvalidCsv::Quote(2)));
        assert_eq!(read("\"a\nb\"c"), Err(InvalidCsv::BehindQuote(2)));
        assert_eq!(read("a\n\"b\nc"), Err(InvalidCsv::Open(2)));
        assert_eq!(read("\"a\" ,b"), Err(InvalidCsv::BehindQuote(1)));
    }

    proptest! {
        #[test]
        fn what_is_written_in_quotes_is_read_back(rows in prop::collection::vec(prop::collection::vec(".*", 2..5), 0..5)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
            let text = lines.collect::<Vec<_>>().join("\r\n");
            prop_assert_eq!(fields(&text), rows);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = read(&text);
        }
    }
}
