//! Reading a request's body: bounded in size before and after gzip, in time, and in sum.

use std::{
    io::Read,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::problem::Problem;

/// How long a body that is not wanted may take.
const POUR_WITHIN: Duration = Duration::from_secs(2);
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// All bodies held at this moment, bounded in sum.
#[derive(Debug)]
pub(crate) struct Bodies {
    held: AtomicUsize,
    bytes_max: usize,
}

impl Bodies {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { held: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// A share of the sum, given back when it is dropped.
pub(crate) struct Hold<'a> {
    bodies: &'a Bodies,
    bytes: usize,
}

impl<'a> Hold<'a> {
    fn new(bodies: &'a Bodies) -> Self {
        Self { bodies, bytes: 0 }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let held = self.bodies.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.bodies.bytes_max {
            return Err(Problem::busy("too many request bodies are under way; nothing was accepted").retry_after(1));
        }
        Ok(())
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.bodies.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How large a body may be and how long it may take.
pub(crate) struct BodyRules<'a> {
    pub(crate) bodies: &'a Bodies,
    pub(crate) bytes_max: usize,
    pub(crate) within: Duration,
}

/// The body, unpacked where it is gzip (by its first bytes: headers lie), and its share of the sum.
pub(crate) async fn read_body<'a>(
    body: Body,
    headers: &HeaderMap,
    rules: &BodyRules<'a>,
) -> Result<(Bytes, Hold<'a>), Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > rules.bytes_max as u64) {
        return Err(too_large(rules.bytes_max));
    }
    let mut hold = Hold::new(rules.bodies);
    let mut body = body;
    let collected = tokio::time::timeout(rules.within, collect(&mut body, rules.bytes_max, &mut hold)).await;
    let bytes = match collected {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(problem)) => {
            if problem.is_busy() {
                drop(hold);
                pour_away(body, rules.bytes_max).await;
            }
            return Err(problem);
        }
        Err(_) => {
            let detail = format!("the body did not come within {} ms", rules.within.as_millis());
            return Err(Problem::body_timeout(detail));
        }
    };
    if !bytes.starts_with(GZIP_MAGIC) {
        return Ok((bytes, hold));
    }
    let unpacked = unpack(&bytes, rules.bytes_max)?;
    hold.add(unpacked.len())?;
    Ok((unpacked, hold))
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {bytes_max} bytes; nothing was accepted"))
}

/// Takes a body that is not wanted, within limits: a client that is still sending when the connection closes does
/// not hear why.
pub(crate) async fn pour_away(mut body: Body, bytes_max: usize) {
    let pouring = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > bytes_max {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(POUR_WITHIN, pouring).await;
}

async fn collect(body: &mut Body, bytes_max: usize, hold: &mut Hold<'_>) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::body_cut("the connection broke off within the body"))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = all.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        hold.add(data.len())?;
        match &mut all {
            None if first.is_empty() => first = data,
            None => {
                // Room for the whole of a body whose length is known: it is copied once.
                let hint = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(bytes_max);
                let mut whole = BytesMut::with_capacity(first.len() + data.len() + hint);
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
                all = Some(whole);
            }
            Some(whole) => whole.extend_from_slice(&data),
        }
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

/// Unpacks gzip, never beyond `bytes_max`: a bomb costs what an honest body costs.
fn unpack(packed: &[u8], bytes_max: usize) -> Result<Bytes, Problem> {
    let mut unpacked = Vec::with_capacity((packed.len() * 4).min(bytes_max + 1));
    let mut reader = flate2::bufread::MultiGzDecoder::new(packed).take(bytes_max as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|error| Problem::invalid_gzip(error.to_string()))?;
    if unpacked.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(unpacked.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).expect("packed");
        writer.finish().expect("packed")
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_limit() {
        assert_eq!(unpack(&packed(b"abc"), 3).expect("unpacked"), "abc");
        assert_eq!(unpack(&packed(b"abcd"), 3).expect_err("too large").code, "too_large");
        let cut = packed(b"abcdefghijklmnop");
        assert_eq!(unpack(cut.get(..12).expect("a part"), 100).expect_err("cut").code, "invalid_gzip");
        let bomb = packed(&vec![b'0'; 50 << 20]);
        assert_eq!(unpack(&bomb, 500 * 1024).expect_err("a bomb").code, "too_large");
    }
}
