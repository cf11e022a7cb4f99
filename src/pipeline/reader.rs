//! Reads the inputs and makes events of their lines, on the thread that merges them or ahead of it on others.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::failure::Failure;
use crate::connect::{Source, Stretch};
use crate::engine::PatternSet;
use crate::event::Position;
use crate::event::decode::{DeadLetter, Decoded, Decoder, Format, Header, LINE_BYTES_MAX, Reason};
use crate::event::key::KeyHasher;

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

/// The inputs, and what makes events of their lines.
pub(super) struct Reader {
    inputs: Vec<Place>,
    preparation: Preparation,
}

/// Makes events of lines, and asks once for all shards what they say by themselves.
#[derive(Clone)]
pub(super) struct Preparation {
    pub(super) decoder: Decoder,
    pub(super) set: Arc<PatternSet>,
    /// Where several shards take the events.
    pub(super) hasher: Option<KeyHasher>,
}

/// An input, and where its next line stands.
struct Place {
    name: String,
    source: Box<dyn Source>,
    /// The header of CSV, once it was read.
    header: Option<Arc<Header>>,
    next: Position,
}

/// A stretch that has been read.
struct Read {
    input: usize,
    bytes: u64,
    /// None at the input's end.
    stretch: Option<Stretch>,
    /// The header of CSV.
    header: Option<Arc<Header>>,
}

impl Reader {
    /// Inputs: name, lines, and position of the first line.
    pub(super) fn new(
        inputs: impl IntoIterator<Item = (String, Box<dyn Source>, Position)>,
        preparation: Preparation,
    ) -> Reader {
        let place = |(name, source, next)| Place { name, source, header: None, next };
        Reader { inputs: inputs.into_iter().map(place).collect(), preparation }
    }

    fn read(&mut self, input: usize) -> Result<Read, Failure> {
        let Place { name, source, header, .. } = &mut self.inputs[input];
        let before = source.bytes_read();
        let fail = |error| Failure::Read(name.clone(), error);
        let mut stretch = source.next().map_err(fail)?;
        if let (Format::Csv, None, Some(records)) = (source.format(), &header, &mut stretch) {
            let taken = match records {
                Stretch::Lines(records) => Header::take(records),
                Stretch::TooLong(_) => Err(Reason::TooLong(LINE_BYTES_MAX)),
            };
            let taken = taken.map_err(|why| {
                fail(io::Error::new(io::ErrorKind::InvalidData, format!("its header: {why}")))
            })?;
            *header = taken.map(Arc::new);
        }
        let bytes = source.bytes_read() - before;
        Ok(Read { input, bytes, stretch, header: header.clone() })
    }

    /// Goes on reading on a thread of its own, and decoding on so many others. They end with the first failure, or when
    /// nobody asks any more; nobody waits for them, because an input may stay silent for ever.
    pub(super) fn ahead(mut self, decoders: usize) -> ReadAhead {
        let ahead = 4 * decoders;
        let inputs = vec![Asked { ahead: 0, next: 0 }; self.inputs.len()];
        let (requests, wanted) = unbounded();
        let (send, arrivals) = bounded(ahead);
        let (jobs, undone) = bounded::<Job>(ahead);
        for _ in 0..decoders {
            let (mut preparation, undone) = (self.preparation.clone(), undone.clone());
            thread::spawn(move || {
                for Job { read, first, to } in undone {
                    // Where nobody waits for it any more, the reader is told as well.
                    let _ = to.send(Ok(read.prepare(&mut preparation, first)));
                }
            });
        }
        thread::spawn(move || {
            for input in wanted {
                let read = self.read(input);
                // Stretches arrive in the order in which they were read, whichever is decoded first.
                let (to, arrival) = bounded(1);
                if send.send(arrival).is_err() {
                    return;
                }
                let first = self.inputs[input].next;
                let read = match read {
                    Ok(read) => read,
                    Err(failure) => {
                        let _ = to.send(Err(failure));
                        return;
                    }
                };
                if jobs.send(Job { read, first, to }).is_err() {
                    return;
                }
            }
        });
        ReadAhead { inputs, ahead, requests, arrivals }
    }
}

impl Arrivals for Reader {
    fn next(&mut self, wanted: usize) -> Result<Arrival, Failure> {
        let read = self.read(wanted)?;
        let next = &mut self.inputs[wanted].next;
        let arrival = read.prepare(&mut self.preparation, *next);
        next.offset += arrival.decoded.as_ref().map_or(0, |decoded| decoded.lines);
        Ok(arrival)
    }
}

impl Read {
    /// Makes events of it. `first` is the position of its first line.
    fn prepare(self, preparation: &mut Preparation, first: Position) -> Arrival {
        let Preparation { decoder, set, hasher } = preparation;
        let mut decoded = self.stretch.map(|stretch| match stretch {
            Stretch::Lines(lines) => match self.header {
                Some(header) => decoder.decode_csv(&header, lines, first),
                None => decoder.decode(lines, first),
            },
            Stretch::TooLong(raw) => too_long(raw, first),
        });
        if let Some(decoded) = &mut decoded {
            set.prepare(&mut decoded.block, hasher.as_ref());
        }
        Arrival { input: self.input, bytes: self.bytes, decoded }
    }
}

/// A line that is longer than the limit.
fn too_long(raw: Vec<u8>, at: Position) -> Decoded {
    let letter = DeadLetter { after: 0, offset: at.offset, reason: Reason::TooLong(LINE_BYTES_MAX), raw };
    Decoded { dead: vec![letter], lines: 1, ..Decoded::default() }
}

/// A stretch to decode as if it were its input's first one: how many lines stand before it is known when those are decoded.
struct Job {
    read: Read,
    first: Position,
    to: Sender<Result<Arrival, Failure>>,
}

/// A stretch that is on its way.
pub(super) type Awaited = Receiver<Result<Arrival, Failure>>;

/// A reader on other threads. It reads what is asked for, so that no input runs far ahead of the others.
pub(super) struct ReadAhead {
    inputs: Vec<Asked>,
    /// Stretches of the input that is read next which may be asked for at once.
    ahead: usize,
    requests: Sender<usize>,
    arrivals: Receiver<Awaited>,
}

/// What was asked of an input.
#[derive(Clone, Copy)]
struct Asked {
    /// How many stretches were asked for and have not come.
    ahead: usize,
    /// The number of the next line to come.
    next: u64,
}

impl ReadAhead {
    /// Asks for the wanted input. What arrives is to be awaited on the channel, and told to `arrived`.
    pub(super) fn ask(&mut self, wanted: usize) -> &Receiver<Awaited> {
        let asked = &mut self.inputs[wanted];
        while asked.ahead < self.ahead {
            asked.ahead += 1;
            // Should the thread be gone, the other channel says so.
            let _ = self.requests.send(wanted);
        }
        &self.arrivals
    }

    /// Notes an arrival, and numbers its lines.
    pub(super) fn arrived(&mut self, arrival: &mut Arrival) {
        let asked = &mut self.inputs[arrival.input];
        asked.ahead -= 1;
        if let Some(decoded) = &mut arrival.decoded {
            decoded.number_from(asked.next);
            asked.next += decoded.lines;
        }
    }
}
