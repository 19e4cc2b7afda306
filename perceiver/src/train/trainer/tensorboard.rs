//! Files that TensorBoard reads.
//!
//! No crate that writes them is kept up, and numbers are all that is needed here: records of protocol buffers, each with the
//! checksums of its length and of itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A log of numbers, for TensorBoard.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
}

impl EventFile {
    /// Creates a file in a folder, which is created too if need be. TensorBoard forgets what earlier files have from step
    /// `first` on.
    pub(super) fn create(folder: &Path, first: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // TensorBoard looks for `tfevents`, and reads files in the order of their names.
        let name = format!("events.out.tfevents.{:010}.{:09}", now.as_secs(), now.subsec_nanos());
        let mut events =
            Self { file: File::options().append(true).create_new(true).open(folder.join(name))? };
        events.write(&Message::default().bytes(FILE_VERSION, b"brain.Event:2").0)?;
        let started = Message::default().number(STATUS, SESSION_START);
        events.write(&Message::event(first).bytes(SESSION, &started.0).0)?;
        Ok(events)
    }

    /// Adds numbers with their names.
    pub(super) fn add(&mut self, step: u64, numbers: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Message::default();
        for (name, number) in numbers {
            let value =
                Message::default().bytes(TAG, name.as_bytes()).float(NUMBER, *number as f32);
            summary = summary.bytes(VALUE, &value.0);
        }
        self.write(&Message::event(step).bytes(SUMMARY, &summary.0).0)
    }

    /// Appends a record.
    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let length = (record.len() as u64).to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend(checksum(&length));
        bytes.extend(record);
        bytes.extend(checksum(record));
        // All at once, so that a record is never read half.
        self.file.write_all(&bytes)
    }
}

/// The checksum of a record, masked since it may itself be part of one.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

// The fields of TensorFlow's `Event`, and of what it contains.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION: u64 = 7;
/// Of `Summary`.
const VALUE: u64 = 1;
/// Of `Summary.Value`.
const TAG: u64 = 1;
const NUMBER: u64 = 2;
/// Of `SessionLog`.
const STATUS: u64 = 1;
const SESSION_START: u64 = 1;

/// A protocol buffer.
#[derive(Clone, Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    /// An event of now.
    fn event(step: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut event = Self::default();
        event.varint(WALL_TIME << 3 | 1);
        event.0.extend(now.to_le_bytes());
        event.number(STEP, step)
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn float(mut self, field: u64, number: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(number.to_le_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of TensorFlow's own writer, but for the time.
    #[test]
    fn records_are_those_of_tensorflow() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(&folder.path().join("run"), 300).unwrap();
        events.add(300, &[("loss", 0.5)]).unwrap();
        drop(events);
        let file = fs::read_dir(folder.path().join("run")).unwrap().next().unwrap().unwrap();
        let bytes = fs::read(file.path()).unwrap();
        let mut rest = &bytes[..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], checksum(&rest[..8]));
            let record = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], checksum(record));
            records.push(record);
            rest = &rest[16 + length..];
        }
        assert_eq!(records[0], b"\x1a\x0dbrain.Event:2");
        // Step 300, and a session that starts.
        assert_eq!(records[1][9..], [0x10, 0xac, 0x02, 0x3a, 0x02, 0x08, 0x01]);
        let value = b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f";
        assert_eq!(records[2][9..], [b"\x10\xac\x02", &value[..]].concat());
        // A checksum from the documentation of the format.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
