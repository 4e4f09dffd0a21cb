//! Decompression under caps. By magic bytes, never by name. Not framing.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{DParameter, Operation};

use crate::Limits;

/// A reader of plain, gzip or zstd input that stops at a cap.
pub(crate) struct Inflate {
    reader: Box<dyn Read + Send>,
    compressed: bool,
    raw: Arc<AtomicU64>,
    decoded: u64,
    limits: Limits,
}

/// Why reading stopped before the end.
#[derive(Debug)]
pub(crate) enum InflateError {
    /// The input itself.
    Read(io::Error),
    /// Damaged, or over a cap.
    Decompress(String),
}

/// Decompressed bytes that are free of the ratio cap: wide Windows events in zstd come to 90 to 1
/// over a whole file, and to more in parts of it.
pub(crate) const FREE_BYTES: u64 = 16 << 20;
/// A zstd window of 128 MiB: what `zstd --long` makes at most without being asked twice.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A gzip stream of one or more members. Each member costs some microseconds, however little it holds:
/// many that hold next to nothing are refused.
pub(crate) struct Members<R> {
    member: Option<GzDecoder<R>>,
    members: u64,
    decoded: u64,
}

/// A zstd stream of one or more frames, skippable ones among them. Each frame costs some
/// microseconds as well.
pub(crate) struct Frames<R> {
    reader: R,
    decoder: zstd::stream::raw::Decoder<'static>,
    /// A frame has begun and not ended.
    inside: bool,
    frames: u64,
    decoded: u64,
}

/// Members or frames that may hold as little as they like.
const FREE_MEMBERS: u64 = 10_000;
/// Bytes that one holds on average, beyond those: blocks of bgzip hold 64 KiB.
const MEMBER_BYTES: u64 = 64;

/// Whether so many members or frames may hold so little.
fn check(members: u64, kind: &str, decoded: u64) -> io::Result<()> {
    if members > FREE_MEMBERS && members * MEMBER_BYTES > decoded {
        let message = format!("{members} {kind} hold {decoded} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(reader: R) -> Self {
        Members { member: Some(GzDecoder::new(reader)), members: 1, decoded: 0 }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(out)?;
            if read > 0 || out.is_empty() {
                self.decoded += read as u64;
                return Ok(read);
            }
            let Some(ended) = self.member.take() else { break };
            let mut rest = ended.into_inner();
            if rest.fill_buf()?.is_empty() {
                break;
            }
            self.members += 1;
            check(self.members, "gzip members", self.decoded)?;
            self.member = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}

impl<R: BufRead> Frames<R> {
    /// Frames with a window of at most two to the power of `window_log_max` bytes.
    pub(crate) fn new(reader: R, window_log_max: u32) -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log_max))?;
        Ok(Frames { reader, decoder, inside: false, frames: 0, decoded: 0 })
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.reader.fill_buf()?;
            let ended = input.is_empty();
            if out.is_empty() || (ended && !self.inside) {
                return Ok(0);
            }
            let status = self.decoder.run_on_buffers(input, out)?;
            self.reader.consume(status.bytes_read);
            self.decoded += status.bytes_written as u64;
            self.inside = status.remaining > 0;
            if !self.inside {
                self.decoder.reinit()?;
                self.frames += 1;
                check(self.frames, "zstd frames", self.decoded)?;
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if ended && self.inside {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a frame is cut off"));
            }
        }
    }
}

impl Inflate {
    /// Looks at the first bytes.
    pub(crate) fn new(mut input: Box<dyn Read + Send>, limits: Limits) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(4);
        input.by_ref().take(4).read_to_end(&mut magic)?;
        let raw = Arc::new(AtomicU64::new(0));
        let kind = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A stream may begin with a skippable frame (RFC 8878, section 3.1.2), as pzstd's do.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
            _ => Compression::Plain,
        };
        let counted = Counted { inner: io::Cursor::new(magic).chain(input), count: raw.clone() };
        let buffered = BufReader::with_capacity(64 * 1024, counted);
        let reader: Box<dyn Read + Send> = match kind {
            Compression::Plain => Box::new(buffered),
            Compression::Gzip => Box::new(Members::new(buffered)),
            Compression::Zstd => Box::new(Frames::new(buffered, ZSTD_WINDOW_LOG_MAX)?),
        };
        let reader = crate::utf16::reader(reader);
        Ok(Inflate { reader, compressed: kind != Compression::Plain, raw, decoded: 0, limits })
    }

    /// Reads some decompressed bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, InflateError> {
        let read = loop {
            match self.reader.read(buffer) {
                Ok(read) => break read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.compressed => {
                    return Err(InflateError::Decompress(format!("damaged compressed data: {e}")));
                }
                Err(e) => return Err(InflateError::Read(e)),
            }
        };
        self.decoded += read as u64;
        if !self.compressed {
            return Ok(read);
        }
        let Limits { ratio, decoded_bytes, .. } = self.limits;
        if self.decoded > decoded_bytes {
            let message = format!("inflates to more than {decoded_bytes} bytes");
            return Err(InflateError::Decompress(message));
        }
        if self.decoded > FREE_BYTES.saturating_add(ratio.saturating_mul(self.raw())) {
            let message = format!(
                "inflates more than {ratio} to 1: {} bytes from {}",
                self.decoded,
                self.raw()
            );
            return Err(InflateError::Decompress(message));
        }
        Ok(read)
    }

    /// Bytes read of the input as it lies there.
    pub(crate) fn raw(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").field("decoded", &self.decoded).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    Plain,
    Gzip,
    Zstd,
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
