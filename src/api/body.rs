//! From the body of a request to lines: unpacked within the limit, one line for each event.

use std::borrow::Cow;
use std::io::{self, Read};

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;

use super::extract::media_type;
use super::problem::Problem;
use crate::event::decode::too_long_line;

/// How much is unpacked before it is known how much it is in all, in bytes.
const UNPACKED_UNSEEN: usize = 512 << 10;

/// The window of zstd is at most 8 MiB large, as its format recommends to decoders.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How the events of a body are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An event a line.
    Lines,
    /// One object, or an array of them.
    Json,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Kind {
    /// As `Content-Type` says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Kind, Problem> {
        let Some(kind) = media_type(headers) else { return Ok(Kind::Lines) };
        match kind.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "text/plain" => {
                Ok(Kind::Lines)
            }
            "application/json" => Ok(Kind::Json),
            other => {
                let detail = format!(
                    "events are `application/x-ndjson` (an object a line) or `application/json` (an object, or an array of objects), not `{other}`"
                );
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail))
            }
        }
    }
}

impl Packing {
    /// As `Content-Encoding` says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Packing, Problem> {
        let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(Packing::None) };
        match encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Packing::None),
            "gzip" | "x-gzip" => Ok(Packing::Gzip),
            "zstd" => Ok(Packing::Zstd),
            other => {
                let detail = format!("a body may be packed by `gzip` or `zstd`, not by `{other}`");
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail))
            }
        }
    }

    fn reader<'a>(self, body: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Packing::None => Box::new(body),
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }

    /// The body as it was before it was packed, of at most `max` bytes. What would be larger takes little memory: how large
    /// it is is found out before it is kept.
    pub(super) fn unpack(self, body: &[u8], max: usize) -> Result<Cow<'_, [u8]>, Problem> {
        if self == Packing::None {
            return Ok(body.into());
        }
        let broken = |error: io::Error| {
            let detail = format!("the body cannot be unpacked: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid-encoding", detail)
        };
        // Growing would hold it twice; what is not written to takes no memory.
        let mut unpacked = Vec::with_capacity(UNPACKED_UNSEEN + 64);
        let mut reader = self.reader(body).map_err(broken)?;
        reader.by_ref().take(UNPACKED_UNSEEN as u64).read_to_end(&mut unpacked).map_err(broken)?;
        if unpacked.len() == UNPACKED_UNSEEN {
            let mut all = self.reader(body).map_err(broken)?.take(max as u64 + 1);
            let bytes = io::copy(&mut all, &mut io::sink()).map_err(broken)? as usize;
            if bytes <= max {
                unpacked.reserve_exact(bytes - unpacked.len());
                reader.read_to_end(&mut unpacked).map_err(broken)?;
            }
            if bytes > max {
                return Err(too_large(max));
            }
        }
        if unpacked.len() > max { Err(too_large(max)) } else { Ok(unpacked.into()) }
    }
}

/// A body that is larger than may be.
pub(super) fn too_large(max: usize) -> Problem {
    let detail = format!("a body has {max} bytes at most, unpacked (`server.max_body`): send several");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}

/// The events of a body, each with its line break. A line that is longer than `line_max` is there as one that says so.
pub(super) fn lines(kind: Kind, body: &[u8], line_max: usize) -> Result<Vec<u8>, Problem> {
    let mut lines = Vec::with_capacity(body.len() + 1);
    let mut add = |line: &[u8]| {
        if line.len() > line_max {
            lines.extend_from_slice(&too_long_line(line, line_max));
        } else {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
    };
    match kind {
        Kind::Lines => {
            let mut from = 0;
            for at in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
                let line = &body[from..at];
                from = at + 1;
                if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                    add(line);
                }
            }
        }
        Kind::Json => {
            for object in objects(body)? {
                // A line break in JSON stands between two tokens.
                if memchr::memchr2(b'\n', b'\r', object.get().as_bytes()).is_some() {
                    add(object.get().replace(['\n', '\r'], " ").as_bytes());
                } else {
                    add(object.get().as_bytes());
                }
            }
        }
    }
    Ok(lines)
}

/// The elements of an array, or the one object.
fn objects(body: &[u8]) -> Result<Vec<&RawValue>, Problem> {
    let body = body.trim_ascii();
    match body.first() {
        None => return Ok(Vec::new()),
        Some(b'[') => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|object| vec![object]),
    }
    .map_err(|error| {
        let detail = format!(
            "the body is no JSON: {error}. Nothing of it was taken; as `application/x-ndjson` each line counts by itself"
        );
        Problem::new(StatusCode::BAD_REQUEST, "invalid-json", detail)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_lose_blank_ones_and_mark_long_ones() {
        let body = b"{\"a\":1}\r\n\n  \t\n{\"b\":\"0123456789\"}\nlast";
        let lines = lines(Kind::Lines, body, 10).unwrap();
        assert_eq!(lines, b"{\"a\":1}\r\n\0too long\x0010\0{\"b\":\"0123456789\"}\nlast\n");
    }

    #[test]
    fn the_elements_of_an_array_are_lines() {
        let body = b" [ {\"a\":\n1}, 5, {\"b\":\"x\\ny\"}\r\n] ";
        assert_eq!(lines(Kind::Json, body, 100).unwrap(), b"{\"a\": 1}\n5\n{\"b\":\"x\\ny\"}\n");
        assert_eq!(lines(Kind::Json, b"{\"a\":1}", 100).unwrap(), b"{\"a\":1}\n");
        assert_eq!(lines(Kind::Json, b" ", 100).unwrap(), b"");
        assert!(lines(Kind::Json, b"{\"a\":1} {", 100).is_err());
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked_up_to_the_limit() {
        for length in
            [0, 5, UNPACKED_UNSEEN - 1, UNPACKED_UNSEEN, UNPACKED_UNSEEN + 1, UNPACKED_UNSEEN + 9999]
        {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let zstd = zstd::bulk::compress(&bytes, 1).unwrap();
            for (packing, packed) in [(Packing::Gzip, gzip(&bytes)), (Packing::Zstd, zstd)] {
                assert!(packing.unpack(&packed, length).unwrap() == bytes, "{packing:?} {length}");
                assert_eq!(packing.unpack(&packed, length.max(1) - 1).is_err(), length > 0);
                let half = &packed[..packed.len() / 2];
                assert!(packing.unpack(half, 1 << 30).is_err() || half.is_empty());
            }
        }
    }
}
