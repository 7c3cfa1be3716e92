//! How a record is shown: as text, as a hex dump, as JSON, or as it is.
//!
//! Invariant: text never sends a control character to a terminal, and each form but text can be
//! turned back into the bytes.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};
use stratalog::Record;

use crate::failure::Failure;
use crate::output::{Output, Paint, counted};

/// How payloads are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Address and payload on a line; what is not printable is escaped
    Text,
    /// Offsets, bytes and characters, 16 a line
    Hex,
    /// One object a line: address, next address, length, and text or hex
    Json,
    /// The payload's bytes as they are, nothing between records
    Raw,
}

/// Shows one record.
pub(crate) fn show(
    record: &Record<'_>,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let payload = record.payload();
    match format {
        Format::Raw => output.bytes(payload),
        Format::Json => output.json(&as_json(record)),
        Format::Text => {
            let lsn = output.paint(Paint::Dim, record.lsn());
            output.line(format_args!("{lsn} {}", escaped(payload)))
        }
        Format::Hex => {
            let bytes = counted(payload.len() as u64, "byte");
            let lsn = output.paint(Paint::Bold, format_args!("lsn {}", record.lsn()));
            output.line(format_args!("{lsn}, {bytes}"))?;
            hex_dump(payload, output)
        }
    }
}

fn as_json(record: &Record<'_>) -> Value {
    let payload = record.payload();
    let mut object = json!({
        "lsn": record.lsn().get(),
        "next_lsn": record.next_lsn().get(),
        "bytes": payload.len(),
    });
    let (key, value) = match str::from_utf8(payload) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("hex", hex(payload)),
    };
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
    object
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The payload as one line: printable characters as they are, all else escaped as in Rust.
pub(crate) fn escaped(payload: &[u8]) -> String {
    let mut text = String::with_capacity(payload.len());
    for chunk in payload.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '"' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// 16 bytes a line: offset, bytes, characters.
pub(crate) fn hex_dump(bytes: &[u8], output: &mut Output) -> Result<(), Failure> {
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let (mut digits, mut characters) = (String::new(), String::new());
        for (column, byte) in chunk.iter().enumerate() {
            let gap = if column == 8 { " " } else { "" };
            let _ = write!(digits, "{gap}{byte:02x} ");
            let is_printable = byte.is_ascii_graphic() || *byte == b' ';
            characters.push(if is_printable { char::from(*byte) } else { '.' });
        }
        let offset = output.paint(Paint::Dim, format_args!("{:08x}", row * 16));
        output.line(format_args!("  {offset}  {digits:<49} |{characters}|"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_that_a_terminal_can_take() {
        assert_eq!(escaped(b"it's \"fine\"\n\x1b[2J\xff\\"), r#"it's "fine"\n\u{1b}[2J\xff\\"#);
    }

    #[test]
    fn hex_has_two_digits_for_each_byte() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}
