//! One thread that computes all chats together, token by token.
//!
//! Each round it seats chats that wait (first come, first seated), reads on in prompts, at most
//! [`ROUND_TOKENS`] of them, and then computes one token for every chat that is speaking, in one
//! batch: weights are read once for all of them. So no chat waits longer for its next token than a
//! round takes, however many and however long the others are.
//!
//! **Same bytes in company as alone.** A prompt is read in pieces of [`PIECE`] tokens that begin at
//! multiples of it, one chat at a time, so its sums do not depend on who else is there; what follows
//! is computed one token a chat (see [`crate::llama`]). A seat remembers the whole pieces of the
//! prompt that it served last; a chat that begins alike (the next turn, the same system prompt) does
//! not compute them again, and they are the same bits.
//!
//! Bounds: [`Settings::seats`] speak, [`Settings::waiting`] wait, the next is told that the machine is
//! busy. A chat whose reader has gone is dropped at its next token.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chat::ChatRequest;
use super::pace::Pace;
use super::sampling::Sampler;
use super::{Event, Finish, Settings, Usage};
use crate::LabourError;
use crate::llama::{Context, Model, Step, Token};
use crate::meter::Meter;

/// Tokens of a prompt that are computed at once.
pub(super) const PIECE: usize = 64;
/// Tokens of prompts that are read in a round.
const ROUND_TOKENS: usize = 256;

/// A chat on its way to a seat.
pub(super) struct Job {
    pub(super) prompt: Vec<Token>,
    pub(super) request: ChatRequest,
    /// The most tokens of the answer; with the prompt they fit into a seat.
    pub(super) most: usize,
    /// Takes what happens; `false` means that nobody listens any more.
    pub(super) sink: Box<dyn FnMut(Event) -> bool + Send>,
}

/// The thread, and the way to it.
pub(super) struct Engine {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Chats that wait or speak.
    load: Arc<AtomicUsize>,
    most: usize,
    closing: Arc<AtomicBool>,
}

impl Engine {
    pub(super) fn start(
        model: Arc<Model>,
        context: Context,
        settings: &Settings,
        meter: Arc<Meter>,
    ) -> Result<Self, LabourError> {
        let (jobs, inbox) = channel();
        let load = Arc::new(AtomicUsize::new(0));
        let closing = Arc::new(AtomicBool::new(false));
        let hall = Hall {
            model,
            context,
            seats: (0..settings.seats).map(|_| Seat::default()).collect(),
            queue: VecDeque::new(),
            load: load.clone(),
            pace: Pace::new(settings.threads),
            meter,
        };
        let stop = closing.clone();
        let thread = std::thread::Builder::new()
            .name("language".into())
            .spawn(move || hall.serve(&inbox, &stop))
            .map_err(|e| failed("start its thread", e.to_string()))?;
        Ok(Engine {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            load,
            most: settings.seats + settings.waiting,
            closing,
        })
    }

    /// Puts a chat into the queue.
    pub(super) fn submit(&self, job: Job) -> Result<(), LabourError> {
        let taken = self.load.fetch_update(Ordering::AcqRel, Ordering::Acquire, |load| {
            (load < self.most).then_some(load + 1)
        });
        if taken.is_err() {
            return Err(LabourError::Busy { waiting: self.most });
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(failed("take a chat", "its thread has ended".into())) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been seen by its readers as a broken chat.
            let _ = thread.join();
        }
    }
}

fn failed(doing: &'static str, message: String) -> LabourError {
    LabourError::Language { doing, message }
}

/// A place where a chat is served, and what its memory holds.
#[derive(Default)]
struct Seat {
    /// Whole pieces of a prompt that are in memory.
    remembered: Vec<Token>,
    chat: Option<Chat>,
}

/// A chat that is being served.
struct Chat {
    prompt: Vec<Token>,
    /// Tokens in memory.
    read: usize,
    /// The token that was chosen last and is not in memory yet.
    next: Option<Token>,
    spoken: usize,
    most: usize,
    sampler: Sampler,
    speech: Speech,
    sink: Box<dyn FnMut(Event) -> bool + Send>,
}

/// The thread's own: the memory and who sits where.
struct Hall {
    model: Arc<Model>,
    context: Context,
    seats: Vec<Seat>,
    queue: VecDeque<Job>,
    load: Arc<AtomicUsize>,
    pace: Pace,
    meter: Arc<Meter>,
}

impl Hall {
    fn serve(mut self, inbox: &Receiver<Job>, closing: &AtomicBool) {
        while !closing.load(Ordering::Acquire) {
            let idle = self.queue.is_empty() && self.seats.iter().all(|seat| seat.chat.is_none());
            if idle {
                match inbox.recv_timeout(Duration::from_secs(1)) {
                    Ok(job) => self.queue.push_back(job),
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            while let Ok(job) = inbox.try_recv() {
                self.queue.push_back(job);
            }
            self.seat_those_who_wait();
            let started = Instant::now();
            let read = self.read_prompts();
            let spoken = self.speak();
            self.meter.add(spoken, started.elapsed());
            debug_assert!(read + spoken > 0 || self.queue.is_empty());
        }
        let closed = || failed("finish", "the machine is closing".into());
        for seat in 0..self.seats.len() {
            self.end(seat, |chat| {
                (chat.sink)(Event::Failed(closed()));
            });
        }
        for mut job in std::mem::take(&mut self.queue).into_iter().chain(inbox.try_iter()) {
            (job.sink)(Event::Failed(closed()));
        }
    }

    fn seat_those_who_wait(&mut self) {
        while let Some(job) = self.queue.front() {
            // Of the free seats, the one that remembers most of what this chat begins with.
            let free = (0..self.seats.len()).filter(|seat| self.seats[*seat].chat.is_none());
            let Some(seat) =
                free.max_by_key(|seat| alike(&self.seats[*seat].remembered, &job.prompt))
            else {
                return;
            };
            let Some(job) = self.queue.pop_front() else { return };
            let place = &mut self.seats[seat];
            // The last token's logits are wanted, so its piece is computed in any case.
            let whole = (job.prompt.len() - 1) / PIECE * PIECE;
            let known = alike(&place.remembered, &job.prompt).min(whole);
            place.remembered.truncate(known);
            self.context.forget(seat, known);
            place.chat = Some(Chat {
                read: known,
                next: None,
                spoken: 0,
                most: job.most,
                sampler: Sampler::new(&job.request),
                speech: Speech { stops: job.request.stop, ..Speech::default() },
                prompt: job.prompt,
                sink: job.sink,
            });
        }
    }

    /// Reads on in prompts. Returns how many tokens were read.
    fn read_prompts(&mut self) -> usize {
        let mut read = 0;
        let mut more = true;
        while more {
            more = false;
            for seat in 0..self.seats.len() {
                if read < ROUND_TOKENS {
                    let piece = self.read_piece(seat);
                    read += piece;
                    more |= piece > 0;
                }
            }
        }
        read
    }

    /// Reads the next piece of a prompt. Returns how many tokens it had.
    fn read_piece(&mut self, seat: usize) -> usize {
        let Some(chat) = &mut self.seats[seat].chat else { return 0 };
        if chat.read >= chat.prompt.len() {
            return 0;
        }
        let end = ((chat.read / PIECE + 1) * PIECE).min(chat.prompt.len());
        let last = chat.prompt.len() - 1;
        let steps: Vec<Step> = (chat.read..end)
            .map(|at| Step { token: chat.prompt[at], at, seat, wanted: at == last })
            .collect();
        if let Err(error) = self.context.compute(&steps) {
            self.fail(seat, error);
            return steps.len();
        }
        chat.read = end;
        if end % PIECE == 0 {
            self.seats[seat].remembered.extend(steps.iter().map(|step| step.token));
        }
        if end > last {
            self.choose(seat, steps.len() - 1);
        }
        steps.len()
    }

    /// Computes one more token for each chat that speaks. Returns for how many.
    fn speak(&mut self) -> usize {
        let speaking = |(seat, place): (usize, &Seat)| {
            let chat = place.chat.as_ref()?;
            Some(Step { token: chat.next?, at: chat.read, seat, wanted: true })
        };
        let steps: Vec<Step> = self.seats.iter().enumerate().filter_map(speaking).collect();
        if steps.is_empty() {
            return 0;
        }
        self.context.set_threads(self.pace.threads(steps.len()));
        let started = Instant::now();
        let computed = self.context.compute(&steps);
        self.pace.took(steps.len(), started.elapsed());
        match computed {
            Ok(()) => {
                for (index, step) in steps.iter().enumerate() {
                    if let Some(chat) = &mut self.seats[step.seat].chat {
                        chat.read += 1;
                        chat.next = None;
                    }
                    self.choose(step.seat, index);
                }
            }
            Err(error) => {
                let message = error.to_string();
                for step in &steps {
                    self.fail(step.seat, failed("compute", message.clone()));
                }
            }
        }
        steps.len()
    }

    /// Chooses the next token after a step of the latest batch, and says it.
    fn choose(&mut self, seat: usize, index: usize) {
        let Some(chat) = &mut self.seats[seat].chat else { return };
        let token = match self.context.logits(index).map(|logits| chat.sampler.choose(logits)) {
            Ok(Some(token)) => token,
            Ok(None) => return self.fail(seat, failed("answer", "no logit is a number".into())),
            Err(error) => return self.fail(seat, error),
        };
        let finish = if self.model.ends(token) {
            Some(Finish::Stop)
        } else {
            chat.spoken += 1;
            self.model.say(token, &mut chat.speech.bytes);
            let full = (chat.spoken >= chat.most).then_some(Finish::Length);
            if chat.speech.take() { Some(Finish::Stop) } else { full }
        };
        if finish.is_some() {
            chat.speech.finish();
        }
        let text = std::mem::take(&mut chat.speech.ready);
        let heard = text.is_empty() || (chat.sink)(Event::Text(text));
        if let Some(finish) = finish {
            self.end(seat, |chat| {
                let usage =
                    Usage { prompt_tokens: chat.prompt.len(), completion_tokens: chat.spoken };
                (chat.sink)(Event::Done(finish, usage));
            });
        } else if heard {
            chat.next = Some(token);
        } else {
            self.end(seat, |_| {});
        }
    }

    fn fail(&mut self, seat: usize, error: LabourError) {
        // What is in memory after a failure is not known.
        self.seats[seat].remembered.clear();
        self.context.forget(seat, 0);
        self.end(seat, |chat| {
            (chat.sink)(Event::Failed(error));
        });
    }

    /// Frees a seat, then lets the chat say its last word: who hears it may come again at once.
    fn end(&mut self, seat: usize, last: impl FnOnce(&mut Chat)) {
        if let Some(mut chat) = self.seats[seat].chat.take() {
            self.load.fetch_sub(1, Ordering::AcqRel);
            last(&mut chat);
        }
    }
}

/// How many tokens two sequences begin with alike, in whole pieces.
fn alike(remembered: &[Token], prompt: &[Token]) -> usize {
    let same = remembered.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    same / PIECE * PIECE
}

/// Bytes on their way to becoming text: characters that are not whole yet, and what may turn out to
/// be the beginning of a stop, are kept back.
#[derive(Default)]
struct Speech {
    stops: Vec<String>,
    bytes: Vec<u8>,
    held: String,
    ready: String,
    stopped: bool,
}

impl Speech {
    /// Takes in what was said. True if a stop was met; then nothing after it is said.
    fn take(&mut self) -> bool {
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(_) => self.bytes.len(),
            // An unfinished character at the end waits for its rest; bytes that are none do not.
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => self.bytes.len(),
        };
        let rest = self.bytes.split_off(whole);
        self.held.push_str(&String::from_utf8_lossy(&self.bytes));
        self.bytes = rest;
        let met = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = met {
            self.ready.push_str(&self.held[..at]);
            self.held.clear();
            self.stopped = true;
            return true;
        }
        let kept = self.stops.iter().map(|stop| beginning(&self.held, stop)).max().unwrap_or(0);
        let said = self.held.len() - kept;
        self.ready.extend(self.held.drain(..said));
        false
    }

    /// Says what was kept back.
    fn finish(&mut self) {
        if !self.stopped {
            let rest = std::mem::take(&mut self.bytes);
            self.ready.push_str(&std::mem::take(&mut self.held));
            self.ready.push_str(&String::from_utf8_lossy(&rest));
        }
    }
}

/// Bytes at the end of `text` with which `stop` begins.
fn beginning(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len().saturating_sub(1));
    let fits = |n: &usize| text.as_bytes().ends_with(&stop.as_bytes()[..*n]);
    (1..=most).rev().filter(|n| stop.is_char_boundary(*n)).find(fits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut speech =
            Speech { stops: stops.iter().map(|s| s.to_string()).collect(), ..Speech::default() };
        let mut heard = Vec::new();
        for piece in pieces {
            speech.bytes.extend_from_slice(piece);
            let stopped = speech.take();
            heard.push(std::mem::take(&mut speech.ready));
            if stopped {
                return (heard, true);
            }
        }
        speech.finish();
        heard.push(std::mem::take(&mut speech.ready));
        (heard, false)
    }

    #[test]
    fn a_character_in_two_pieces_is_said_when_it_is_whole() {
        let (heard, _) = said(&[], &[b"a\xc3", b"\xa9", b"\xff", b"\xe2\x82"]);
        assert_eq!(heard, ["a", "é", "\u{fffd}", "", "\u{fffd}"]);
    }

    #[test]
    fn a_stop_is_never_said_also_in_pieces() {
        let (heard, stopped) = said(&["\n\n", "END"], &[b"x\n", b"y E", b"N", b"D of it"]);
        assert_eq!((heard.concat().as_str(), stopped), ("x\ny ", true));
        let (heard, stopped) = said(&["END"], &[b"EN", b"EN", b"T"]);
        assert_eq!((heard.concat().as_str(), stopped), ("ENENT", false));
    }

    #[test]
    fn the_beginning_that_is_shared_counts_in_whole_pieces() {
        let long: Vec<Token> = (0..200).collect();
        assert_eq!(alike(&long, &long), 192);
        assert_eq!(alike(&long[..PIECE], &long), PIECE);
        assert_eq!(alike(&long[1..], &long), 0);
    }
}
