//! Reads and decodes the inputs, on the thread that merges them or ahead of it on one of its own.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::failure::Failure;
use crate::connect::{Source, Stretch};
use crate::event::Position;
use crate::event::decode::{DeadLetter, Decoded, Decoder, LINE_BYTES_MAX, Reason};

/// Stretches of the input that is read next which may be asked for at once: one is decoded while one is merged.
const AHEAD: u32 = 2;

/// Where stretches of inputs come from.
pub(super) trait Arrivals {
    /// The next stretch; of the wanted input, or one that was asked for before.
    fn next(&mut self, wanted: usize) -> Result<Arrival, Failure>;
}

/// A stretch of an input.
pub(super) struct Arrival {
    pub(super) input: usize,
    /// Bytes that were read for it, as they are stored.
    pub(super) bytes: u64,
    /// None at the input's end.
    pub(super) decoded: Option<Decoded>,
}

/// The inputs and their decoder.
pub(super) struct Reader {
    inputs: Vec<Place>,
    decoder: Decoder,
}

/// An input, and where its next line stands.
struct Place {
    name: String,
    source: Box<dyn Source>,
    next: Position,
}

impl Reader {
    /// Inputs: name, lines, and position of the first line.
    pub(super) fn new(
        inputs: impl IntoIterator<Item = (String, Box<dyn Source>, Position)>,
        decoder: Decoder,
    ) -> Reader {
        let place = |(name, source, next)| Place { name, source, next };
        Reader { inputs: inputs.into_iter().map(place).collect(), decoder }
    }

    /// Goes on reading on a thread of its own. That ends with the first failure, or when nobody asks any more; nobody
    /// waits for it, because an input may stay silent for ever.
    pub(super) fn ahead(mut self) -> ReadAhead {
        let asked = vec![0; self.inputs.len()];
        let (requests, wanted) = unbounded();
        let (send, arrivals) = bounded(AHEAD as usize);
        thread::spawn(move || {
            for input in wanted {
                let arrival = self.next(input);
                let failed = arrival.is_err();
                if send.send(arrival).is_err() || failed {
                    return;
                }
            }
        });
        ReadAhead { asked, requests, arrivals }
    }
}

impl Arrivals for Reader {
    fn next(&mut self, wanted: usize) -> Result<Arrival, Failure> {
        let Place { name, source, next } = &mut self.inputs[wanted];
        let before = source.bytes_read();
        let stretch = source.next().map_err(|error| Failure::Read(name.clone(), error))?;
        let bytes = source.bytes_read() - before;
        let decoded = stretch.map(|stretch| match stretch {
            Stretch::Lines(lines) => self.decoder.decode(lines, *next),
            Stretch::TooLong(raw) => too_long(raw, *next),
        });
        next.offset += decoded.as_ref().map_or(0, |decoded| decoded.lines);
        Ok(Arrival { input: wanted, bytes, decoded })
    }
}

/// A line that is longer than the limit.
fn too_long(raw: Vec<u8>, at: Position) -> Decoded {
    let letter = DeadLetter { after: 0, offset: at.offset, reason: Reason::TooLong(LINE_BYTES_MAX), raw };
    Decoded { dead: vec![letter], lines: 1, ..Decoded::default() }
}

/// A reader on another thread. It reads what is asked for, so that no input runs far ahead of the others.
pub(super) struct ReadAhead {
    /// By input: how many stretches were asked for and have not come.
    asked: Vec<u32>,
    requests: Sender<usize>,
    arrivals: Receiver<Result<Arrival, Failure>>,
}

impl ReadAhead {
    /// Asks for the wanted input; the arrivals are to be awaited on the channel, and told to `arrived`.
    pub(super) fn ask(&mut self, wanted: usize) -> &Receiver<Result<Arrival, Failure>> {
        while self.asked[wanted] < AHEAD {
            self.asked[wanted] += 1;
            // Should the thread be gone, the other channel says so.
            let _ = self.requests.send(wanted);
        }
        &self.arrivals
    }

    /// Notes an arrival.
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        self.asked[arrival.input] -= 1;
    }
}
